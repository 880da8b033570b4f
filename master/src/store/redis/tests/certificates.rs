//! An authority of a test's own, and a server's certificate that it signed.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

pub struct Certificates(TempDir);

impl Certificates {
    pub fn new() -> Self {
        let it = Self(tempfile::tempdir().unwrap());
        std::fs::write(it.path("names"), "subjectAltName=DNS:localhost").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        it.openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 1 -subj /CN=authority"
        ));
        it.openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"));
        it.openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names -out server.pem",
        );
        it
    }

    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// What the server is started with.
    pub fn arguments(&self) -> Vec<String> {
        let file = |option: &str, name| [option.to_owned(), self.path(name).display().to_string()];
        [
            file("--tls-cert-file", "server.pem"),
            file("--tls-key-file", "server.key"),
            file("--tls-ca-cert-file", "ca.pem"),
            ["--tls-auth-clients".to_owned(), "no".to_owned()],
        ]
        .concat()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        let output =
            command.args(arguments.split(' ')).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
