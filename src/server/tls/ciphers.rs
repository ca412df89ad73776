//! Versions and ciphers, by the names that OpenSSL gives them.
//!
//! Always true: what a list excludes is never spoken: an exclusion that is not understood is refused, while a name to
//! include that is not spoken here is passed over, as OpenSSL does it.

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::Settings;

/// A cipher of TLS 1.2: OpenSSL's name, and the classes it is in there.
type Named = (CipherSuite, &'static str, &'static [&'static str]);

const NAMED: &[Named] = &[
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["ECDSA", "aECDSA", "AES", "AES256", "AESGCM"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["ECDSA", "aECDSA", "AES", "AES128", "AESGCM"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["ECDSA", "aECDSA", "CHACHA20"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        &["aRSA", "AES", "AES256", "AESGCM"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        &["aRSA", "AES", "AES128", "AESGCM"],
    ),
    (CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-RSA-CHACHA20-POLY1305", &["aRSA", "CHACHA20"]),
];

/// Classes that all of them are in.
const COMMON: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "TLSv1.2", "ECDH", "ECDHE", "EECDH", "kECDH", "kECDHE", "kEECDH", "AEAD"];

/// Classes of OpenSSL that none of them is in.
const EMPTY: &[&str] = &[
    "3DES",
    "ADH",
    "AECDH",
    "AESCCM",
    "AESCCM8",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "CBC",
    "COMPLEMENTOFALL",
    "COMPLEMENTOFDEFAULT",
    "DES",
    "DH",
    "DHE",
    "DSS",
    "EDH",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "GOST94",
    "GOST89MAC",
    "IDEA",
    "LOW",
    "MD5",
    "MEDIUM",
    "NULL",
    "PSK",
    "RC2",
    "RC4",
    "RSA",
    "SEED",
    "SHA",
    "SHA1",
    "SHA256",
    "SHA384",
    "SRP",
    "SSLv2",
    "SSLv3",
    "TLSv1",
    "TLSv1.0",
    "aDH",
    "aDSS",
    "aGOST",
    "aNULL",
    "aPSK",
    "aSRP",
    "eNULL",
    "kDH",
    "kDHE",
    "kDHEPSK",
    "kDHd",
    "kDHr",
    "kECDHEPSK",
    "kEDH",
    "kGOST",
    "kPSK",
    "kRSA",
    "kRSAPSK",
    "kSRP",
];

const CIPHERSUITES: &[(CipherSuite, &str)] = &[
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// The cryptography, with the ciphers of the settings in their order.
pub(super) fn provider(settings: &Settings) -> Result<CryptoProvider, String> {
    let all = ring::default_provider();
    let chosen = [
        match &settings.tls_ciphersuites {
            Some(list) => ciphersuites(list)?,
            None => CIPHERSUITES.iter().map(|(suite, _)| *suite).collect(),
        },
        ciphers(settings.tls_ciphers.as_deref().unwrap_or("DEFAULT"))?,
    ];
    let find = |suite: &CipherSuite| all.cipher_suites.iter().find(|known| known.suite() == *suite).copied();
    let cipher_suites: Vec<SupportedCipherSuite> = chosen.iter().flatten().filter_map(find).collect();
    Ok(CryptoProvider { cipher_suites, ..all })
}

/// The versions of the settings.
pub(super) fn versions(settings: &Settings) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let Some(text) = &settings.tls_protocols else { return Ok(vec![&TLS13, &TLS12]) };
    let mut versions = Vec::new();
    for word in text.split_ascii_whitespace() {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.3" => versions.push(&TLS13),
            "tlsv1.2" => versions.push(&TLS12),
            "tlsv1" | "tlsv1.1" => tracing::warn!("tls-protocols: {word} is not spoken here, and left out"),
            _ => {
                let known = "use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'";
                return Err(format!("tls-protocols {text}: {word} is no version of it; {known}"));
            }
        }
    }
    match versions.is_empty() {
        true => Err(format!("tls-protocols {text}: only TLSv1.2 and TLSv1.3 are spoken here")),
        false => Ok(versions),
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ']).filter(|word| !word.is_empty())
}

fn ciphersuites(list: &str) -> Result<Vec<CipherSuite>, String> {
    let find = |word: &str| CIPHERSUITES.iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
    let found: Vec<CipherSuite> = words(list).filter_map(find).map(|(suite, _)| *suite).collect();
    if found.is_empty() {
        let known: Vec<&str> = CIPHERSUITES.iter().map(|(_, name)| *name).collect();
        return Err(format!("tls-ciphersuites {list}: none of them is spoken here; known are {}", known.join(", ")));
    }
    Ok(found)
}

/// Follows OpenSSL's rules: a word adds at the end what is not there yet, `-` takes away, `!` for good, and `+` moves to the
/// end.
fn ciphers(list: &str) -> Result<Vec<CipherSuite>, String> {
    let (mut chosen, mut banned) = (Vec::<&Named>::new(), Vec::<CipherSuite>::new());
    for word in words(list) {
        let (sign, name) = match word.chars().next() {
            Some(sign @ ('!' | '-' | '+')) => (sign, &word[1..]),
            // `@STRENGTH` and `@SECLEVEL`: all that are spoken are strong.
            Some('@') => continue,
            _ => (' ', word),
        };
        if sign != ' ' && !is_known(name) {
            return Err(format!("tls-ciphers {list}: it is not known what {word} takes away"));
        }
        let meant = |named: &&Named| is_meant(named, name);
        let of = |list: &[&'static Named]| list.iter().copied().filter(meant).collect::<Vec<_>>();
        match sign {
            '!' => {
                banned.extend(NAMED.iter().filter(meant).map(|(suite, ..)| *suite));
                chosen.retain(|named| !meant(named));
            }
            '-' => chosen.retain(|named| !meant(named)),
            '+' => {
                let moved = of(&chosen);
                chosen.retain(|named| !meant(named));
                chosen.extend(moved);
            }
            _ => {
                let is_new = |named: &&Named| !banned.contains(&named.0) && !chosen.contains(named);
                let added: Vec<&Named> = NAMED.iter().filter(meant).filter(is_new).collect();
                chosen.extend(added);
            }
        }
    }
    if chosen.is_empty() {
        let known: Vec<&str> = NAMED.iter().map(|(_, name, _)| *name).collect();
        return Err(format!("tls-ciphers {list}: none of them is spoken here; known are {}", known.join(", ")));
    }
    Ok(chosen.into_iter().map(|(suite, ..)| *suite).collect())
}

/// Whether a word of a list, such as `ECDHE+AESGCM`, means this cipher.
fn is_meant((suite, own, classes): &Named, word: &str) -> bool {
    let is_name = own.eq_ignore_ascii_case(word) || suite.as_str().is_some_and(|name| name.eq_ignore_ascii_case(word));
    is_name || word.split('+').all(|part| COMMON.contains(&part) || classes.contains(&part))
}

/// Whether a word is a name or a class, also of what is not spoken here.
fn is_known(word: &str) -> bool {
    let is_class = |part: &str| {
        COMMON.contains(&part) || EMPTY.contains(&part) || NAMED.iter().any(|(.., classes)| classes.contains(&part))
    };
    NAMED.iter().any(|named| is_meant(named, word)) || word.contains(['-', '_']) || word.split('+').all(is_class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_ciphers_mean_what_openssl_takes_them_to_mean() {
        let names = |list: &str| -> Result<Vec<&str>, String> {
            let name = |suite| NAMED.iter().find(|named| named.0 == suite).map(|named| named.1).unwrap();
            ciphers(list).map(|found| found.into_iter().map(name).collect())
        };
        let all: Vec<&str> = NAMED.iter().map(|named| named.1).collect();
        let cases: &[(&str, &[&str])] = &[
            ("DEFAULT:!MEDIUM", &all),
            ("HIGH:!aNULL:!MD5:!RC4:@STRENGTH", &all),
            ("ECDHE-RSA-AES128-GCM-SHA256", &all[4..5]),
            ("DHE-RSA-AES128-SHA,ECDHE-RSA-AES128-GCM-SHA256 NOSUCH", &all[4..5]),
            ("tls_ecdhe_rsa_with_aes_128_gcm_sha256", &all[4..5]),
            ("ECDHE+AESGCM+aRSA", &all[3..5]),
            ("CHACHA20:AES256", &[all[2], all[5], all[0], all[3]]),
            ("ALL:-AES:AES128", &[all[2], all[5], all[1], all[4]]),
            ("ALL:!AES:AES128", &[all[2], all[5]]),
            ("aRSA:+CHACHA20", &all[3..6]),
            ("aRSA:+AESGCM", &[all[5], all[3], all[4]]),
        ];
        for (list, expected) in cases {
            assert_eq!(names(list).as_deref(), Ok(*expected), "{list}");
        }
        for (list, reason) in [("NOSUCH", "none"), ("kRSA", "none"), ("ALL:!NOSUCH", "!NOSUCH"), ("ALL:!ALL", "none")] {
            assert!(names(list).unwrap_err().contains(reason), "{list}");
        }
    }

    #[test]
    fn lists_of_ciphersuites_keep_their_order() {
        let list = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256";
        let expected = [CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, CipherSuite::TLS13_AES_128_GCM_SHA256];
        assert_eq!(ciphersuites(list).as_deref(), Ok(&expected[..]));
        assert!(ciphersuites("NOSUCH").is_err());
    }
}
