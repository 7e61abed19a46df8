//! Certificates for tests, made by the command `openssl` when they run.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// What all keys are: small ones of a curve, which take no time to make.
const KEY: [&str; 5] = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/// An authority, and the files of what it issued; removed when this is dropped.
pub struct Authority {
    folder: TempDir,
}

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: TempDir::new().unwrap() };
        let Pair { certificate, key } = authority.pair("ca");
        let mut args = vec!["req", "-x509", "-days", "3", "-subj", "/CN=Authority of tests"];
        args.extend(KEY);
        args.extend(["-keyout", text(&key), "-out", text(&certificate)]);
        openssl(&args);
        authority
    }

    /// Its own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.pair("ca").certificate
    }

    fn pair(&self, name: &str) -> Pair {
        let file = |end: &str| self.folder.path().join(format!("{name}{end}"));
        Pair { certificate: file(".pem"), key: file(".key") }
    }

    /// Issues a certificate for a host name, or for the name of a client; and for 127.0.0.1. The name of
    /// the files is a part of it: issuing it again replaces them.
    pub fn issue(&self, file: &str, name: &str) -> Pair {
        let pair = self.pair(file);
        let (request, extensions) =
            (self.folder.path().join("request"), self.folder.path().join("extensions"));
        let subject = format!("/CN={name}");
        let mut args = vec!["req", "-new", "-subj", &subject];
        args.extend(KEY);
        args.extend(["-keyout", text(&pair.key), "-out", text(&request)]);
        openssl(&args);
        std::fs::write(&extensions, format!("subjectAltName=DNS:{name},IP:127.0.0.1\n")).unwrap();
        let (ca, days) = (self.pair("ca"), "2");
        openssl(&[
            "x509",
            "-req",
            "-in",
            text(&request),
            "-CA",
            text(&ca.certificate),
            "-CAkey",
            text(&ca.key),
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            text(&extensions),
            "-out",
            text(&pair.certificate),
        ]);
        pair
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs `openssl`, and returns what it prints.
pub fn openssl(args: &[&str]) -> String {
    let ran = Command::new("openssl").args(args).output().expect("openssl is installed");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}
