//! The dashboard and the alerts name what there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::format::read;
use super::{http, watched};
use crate::clients::required;
use crate::server::find_on_path;

const DASHBOARD: &str = include_str!("../../../config/grafana-dashboard.json");
const ALERTS: &str = include_str!("../../../config/prometheus-alerts.yml");

/// What looks like the name of a metric of ours.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("redis_") || word.starts_with("caskade_")).map(str::to_owned).collect()
}

/// The metrics that a server has, also those that come once something has happened.
fn served() -> BTreeSet<String> {
    let (server, port) = watched(&["--latency-monitor-threshold", "1", "--enable-debug-command", "yes"]);
    let mut client = server.connect();
    for line in ["SET a 1 EX 1000", "GET a", "GET b", "NOSUCH", "DEBUG SLEEP 0.01"] {
        client.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply");
    }
    let text = http::get(port, "/metrics");
    let samples = read(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    samples.into_iter().map(|sample| sample.name).collect()
}

#[test]
fn dashboard_and_alerts_name_metrics_that_are_served() {
    let served = served();
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let expressions: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    assert!(expressions.len() > 40, "{} expressions", expressions.len());
    for expression in &expressions {
        assert!(!metrics_in(expression).is_empty(), "{expression} reads nothing of ours");
        assert!(expression.contains("{instance=~\"$instance\"}"), "{expression} reads every server");
    }
    let rules: Vec<&str> = ALERTS.lines().filter(|line| line.trim_start().starts_with("- alert:")).collect();
    assert!(rules.len() > 10, "{rules:?}");
    for (file, text) in [("the dashboard", DASHBOARD), ("the alerts", ALERTS)] {
        let absent: Vec<String> = metrics_in(text).difference(&served).cloned().collect();
        assert!(absent.is_empty(), "{file} reads {absent:?}");
    }
    assert_eq!(
        metrics_in("rate(redis_a_total{x=\"y\"}[5m]) / caskade_b"),
        ["caskade_b", "redis_a_total"].map(str::to_owned).into()
    );
}

/// Prometheus's own word on the rules.
#[test]
fn prometheus_takes_the_alerts() {
    let Some(promtool) = required("promtool", find_on_path("promtool")) else { return };
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus-alerts.yml");
    let output = Command::new(promtool).args(["check", "rules"]).arg(file).output().expect("to run promtool");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("16 rules found"), "{text}");
}

/// What makes the image need no more than its port.
#[test]
fn the_image_has_the_port() {
    let set =
        include_str!("../../../config/container.conf").lines().find_map(|line| line.strip_prefix("metrics-port "));
    let exposed = include_str!("../../../Dockerfile").lines().find_map(|line| line.strip_prefix("EXPOSE "));
    assert!(exposed.is_some_and(|ports| ports.split(' ').any(|port| Some(port) == set)), "{set:?} {exposed:?}");
}
