//! The files in `config/`: the server accepts each, and those for Docker Compose and Kubernetes ask for what the image has.

use crate::clients::{installed, required};
use crate::running::{Place, connect, setting};
use crate::server::{find_on_path, free_port};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCKERFILE: &str = include_str!("../../../Dockerfile");
const REFERENCE: &str = include_str!("../../../docs/configuration.md");
/// What the image's own tools call it.
const IMAGE: &str = "caskade";

fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// The lines of a configuration file that set something, also where a `#` before a name switches one off.
fn directives(text: &str) -> Vec<(String, String)> {
    let is_name = |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).filter(|line| is_name(line));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// As CONFIG GET answers it.
fn canonical(value: &str) -> String {
    let bare = value.trim_matches('"').replace("-::*", "-::").replace('*', "0.0.0.0");
    let unit = bare.find(|c: char| !c.is_ascii_digit()).unwrap_or(bare.len());
    let factor = match &bare[unit..] {
        "kb" => 1_u64 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        _ => return bare,
    };
    bare[..unit].parse::<u64>().map_or(bare.clone(), |number| (number * factor).to_string())
}

#[test]
fn every_configuration_file_is_accepted_and_in_force() {
    let entries = fs::read_dir(config("")).expect("the directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let names: BTreeSet<String> = names.filter(|name| name.ends_with(".conf")).collect();
    assert!(names.contains("cache.conf") && names.contains("container.conf"), "{names:?}");
    for name in names {
        let text = fs::read_to_string(config(&name)).expect("the file");
        let said = directives(&text);
        assert!(said.len() > 3, "{name}: {said:?}");
        let place = Place::new();
        let whole: String = said.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        place.write("whole.conf", &whole);
        // Two servers cannot have one port.
        let (port, metrics) = (free_port(), free_port());
        let place_of = ["--dir", "data", "--port", &port.to_string(), "--metrics-port", &metrics.to_string()];
        let arguments = |file| [&[file][..], &place_of].concat();
        let path = config(&name);
        drop(place.start(&arguments(path.to_str().expect("a path"))));
        let running = place.start(&arguments("whole.conf"));
        assert!(!running.output().contains("WARN"), "{name}: {}", running.output());
        let mut client = connect(port);
        for (directive, value) in said {
            if !matches!(directive.as_str(), "dir" | "port" | "metrics-port" | "client-output-buffer-limit") {
                let found = setting(&mut client, &directive);
                let same = found == canonical(&value) || found == value || found == value.trim_matches('"');
                assert!(same, "{name}: {directive} {value}: {found}");
            }
        }
    }
}

/// The documents of a YAML file, read by PyYAML.
fn yaml(name: &str) -> Option<Vec<Value>> {
    const READ: &str = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(open(sys.argv[1]))), sys.stdout)";
    let python = installed("python/bin/python");
    let found = Command::new(&python).args(["-c", "import yaml"]).output();
    let python = required("PyYAML", found.is_ok_and(|found| found.status.success()).then_some(python))?;
    let output = Command::new(python).args(["-c", READ]).arg(config(name)).output().expect("to run python");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The words of an instruction of the Dockerfile, wherever it stands.
fn instruction(name: &str) -> Vec<&'static str> {
    let lines = DOCKERFILE.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    lines.flat_map(str::split_ascii_whitespace).collect()
}

/// Holds for whatever a deployment asks of the image.
fn image_has(image: &Value, ports: &[String], paths: &[String], variables: &[String]) {
    assert_eq!(image, IMAGE);
    assert!(include_str!("../../../README.md").contains(&format!("docker build -t {IMAGE} .\n")));
    let exposed = instruction("EXPOSE");
    for port in ports {
        assert!(exposed.contains(&port.as_str()), "{port}: {exposed:?}");
    }
    for path in paths {
        let is_file = path.strip_prefix("/etc/caskade/").is_some_and(|name| {
            let copied = instruction("COPY");
            config(name).exists() && copied.contains(&format!("config/{name}").as_str())
        });
        assert!(is_file || instruction("VOLUME") == [path], "{path}");
    }
    for variable in variables {
        let name = variable.strip_suffix("_FILE").unwrap_or(variable);
        assert!(REFERENCE.contains(&format!("Environment: `{name}`")), "{variable}");
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    value.as_array().unwrap_or_else(|| panic!("a list: {value}")).iter().map(text).collect()
}

#[test]
fn the_compose_file_asks_for_what_the_image_has() {
    let Some(documents) = yaml("compose.yaml") else { return };
    let [document] = &documents[..] else { panic!("{documents:?}") };
    let service = &document["services"]["caskade"];
    let of_host: Vec<String> = texts(&service["ports"]);
    let ports: Vec<String> = of_host.iter().map(|port| port.rsplit(':').next().unwrap_or_default().into()).collect();
    assert!(of_host.iter().all(|port| port.starts_with("127.0.0.1:")), "{of_host:?}");
    let volumes: Vec<String> = texts(&service["volumes"]);
    let [volume] = &volumes[..] else { panic!("{volumes:?}") };
    let (volume, path) = volume.split_once(':').expect("a volume and its path");
    assert!(document["volumes"].as_object().is_some_and(|volumes| volumes.contains_key(volume)), "{document}");
    let environment = service["environment"].as_object().expect("variables");
    let paths = [&texts(&service["command"])[..], &[path.to_owned()]].concat();
    assert_eq!(paths[0], "/etc/caskade/cache.conf");
    image_has(&service["image"], &ports, &paths, &environment.keys().cloned().collect::<Vec<_>>());
    let secret = &texts(&service["secrets"])[0];
    assert_eq!(environment["CASKADE_REQUIREPASS_FILE"], format!("/run/secrets/{secret}"));
    let file = document["secrets"][secret]["file"].as_str().expect("a file").trim_start_matches("./");
    for ignores in [include_str!("../../../.gitignore"), include_str!("../../../.dockerignore")] {
        assert!(ignores.lines().any(|line| line.trim_start_matches('/') == format!("config/{file}")), "{ignores}");
    }
    for (field, value) in [("read_only", "true"), ("stop_grace_period", "\"10s\""), ("mem_limit", "\"1g\"")] {
        assert_eq!(service[field].to_string(), value, "{field}");
    }
}

#[test]
fn the_stateful_set_asks_for_what_the_image_has() {
    let Some(documents) = yaml("kubernetes.yaml") else { return };
    let [service, set] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!((&service["kind"], &set["kind"]), (&"Service".into(), &"StatefulSet".into()));
    assert_eq!((&set["apiVersion"], &set["spec"]["serviceName"]), (&"apps/v1".into(), &service["metadata"]["name"]));
    let template = &set["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    assert!(labels.is_object());
    assert_eq!((&service["spec"]["selector"], &set["spec"]["selector"]["matchLabels"]), (labels, labels));
    let pod = &template["spec"];
    let container = &pod["containers"][0];
    let of = |list: &Value, field: &str| -> Vec<String> {
        let list = list.as_array().unwrap_or_else(|| panic!("a list: {list}"));
        list.iter().map(|entry| texts(&Value::from(vec![entry[field].clone()])).swap_remove(0)).collect()
    };
    let ports = of(&container["ports"], "containerPort");
    assert_eq!(of(&service["spec"]["ports"], "port"), ports);
    assert_eq!(of(&service["spec"]["ports"], "targetPort"), of(&container["ports"], "name"));
    let claimed = &set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"];
    let mounts = container["volumeMounts"].as_array().expect("mounts");
    let mounted = |name: &Value| {
        let mount = mounts.iter().find(|mount| mount["name"] == *name).unwrap_or_else(|| panic!("no mount {name}"));
        mount["mountPath"].as_str().expect("a path").to_owned()
    };
    image_has(&container["image"], &ports, &[mounted(claimed)], &of(&container["env"], "name"));
    let secret = &pod["volumes"][0];
    let path =
        format!("{}/{}", mounted(&secret["name"]), secret["secret"]["items"][0]["path"].as_str().expect("a path"));
    assert!(of(&container["env"], "value").contains(&path), "{path}");
    for (probe, asked) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = &container[probe]["httpGet"];
        assert_eq!((&get["path"], &get["port"]), (&asked.into(), &"metrics".into()));
        assert!(include_str!("../../../docs/observing.md").contains(&format!("| `{asked}` |")));
    }
    assert_eq!(template["metadata"]["annotations"]["prometheus.io/port"], ports[1]);
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    for (field, option) in [("runAsUser", "--uid"), ("runAsGroup", "--gid"), ("fsGroup", "--gid")] {
        assert!(DOCKERFILE.contains(&format!("{option} {} ", security[field])), "{field}");
    }
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    let own = &container["securityContext"];
    assert_eq!((&own["allowPrivilegeEscalation"], &own["readOnlyRootFilesystem"]), (&false.into(), &true.into()));
    assert_eq!(texts(&own["capabilities"]["drop"]), ["ALL"]);
    // Octal in YAML 1.1, which Kubernetes reads: the group may read the secret.
    assert_eq!(secret["secret"]["defaultMode"], 0o440);
    let graceful = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(graceful >= 10, "{graceful}");
}

/// A shell reads them only when somebody starts a container, or tries the image.
#[test]
fn the_entry_point_and_the_script_that_tries_the_image_are_what_the_linter_takes() {
    let Some(shellcheck) = required("shellcheck", find_on_path("shellcheck")) else { return };
    for script in [config("docker-entrypoint.sh"), config("../tests/docker.sh")] {
        let output = Command::new(&shellcheck).arg(&script).output().expect("to run shellcheck");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
