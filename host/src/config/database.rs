//! The settings of the index's database, and what must be true of them together.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, Provenance, effective::Provenances, optional, secret::Secret};

/// Where the index is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Which kind of database.
    pub driver: DatabaseDriver,
    /// Most connections of this process to a database server.
    pub max_connections: usize,
    /// How long one call of a database server may take, with connecting and trying again.
    pub timeout_ms: u64,
    /// Whether keys that differ by the case of ASCII letters only are different ones.
    pub case_sensitive_keys: bool,
    /// Settings of the driver `sqlite`.
    pub sqlite: Sqlite,
    /// Settings of the driver `postgres`.
    pub postgres: DatabaseServer,
    /// Settings of the driver `mysql`.
    pub mysql: DatabaseServer,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            driver: DatabaseDriver::Sqlite,
            max_connections: 16,
            // Clients wait longer for a response, and a failover of a database takes about as long.
            timeout_ms: 10_000,
            // As GitHub.
            case_sensitive_keys: false,
            sqlite: Sqlite::default(),
            postgres: DatabaseServer::default(),
            mysql: DatabaseServer::default(),
        }
    }
}

/// A database in a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sqlite {
    /// The file; `<data>/larder.db` if not set. Always set in a configuration in force.
    #[serde(with = "optional")]
    pub path: Option<PathBuf>,
}

/// A database in a server: its URL, or its parts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseServer {
    /// All of it; may hold a password.
    #[serde(with = "optional")]
    pub url: Option<Secret>,
    /// The server's name or address.
    #[serde(with = "optional")]
    pub host: Option<String>,
    /// Its port; 0: the usual one.
    pub port: u16,
    /// Who to log in as.
    #[serde(with = "optional")]
    pub user: Option<String>,
    /// The password.
    #[serde(with = "optional")]
    pub password: Option<Secret>,
    /// The name of the database.
    #[serde(with = "optional")]
    pub database: Option<String>,
    /// How the connection is protected; unset: as the URL says, else `prefer`.
    pub ssl_mode: SslMode,
    /// Certificates in PEM form that the server's must be signed by, in addition to the usual ones.
    #[serde(with = "optional")]
    pub ca_file: Option<PathBuf>,
}

/// Which kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseDriver {
    /// The embedded one.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL or MariaDB server.
    Mysql,
}

impl DatabaseDriver {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

/// How a connection to a server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// As the URL says; else as `Prefer`.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Not at all.
    Disable,
    /// TLS if the server offers it; its certificate is not checked.
    Prefer,
    /// TLS; the server's certificate is not checked.
    Require,
    /// By TLS, with a certificate of a known authority.
    VerifyCa,
    /// By TLS, with a certificate of a known authority for the server's name.
    VerifyFull,
}

/// Checks what must be true of the settings of the chosen driver together, and that no other
/// driver's are set.
pub(super) fn check(database: &Database, provenances: &Provenances) -> Result<(), ConfigError> {
    let servers = [
        (DatabaseDriver::Postgres, "postgres", &database.postgres, ["postgres://", "postgresql://"]),
        (DatabaseDriver::Mysql, "mysql", &database.mysql, ["mysql://", "mariadb://"]),
    ];
    for (driver, name, server, schemes) in servers {
        let section = Section { name, provenances };
        if driver == database.driver {
            section.check(server, schemes)?;
        } else if let Some((set, _)) = settings(server).iter().find(|(_, set)| *set) {
            return Err(section.of_another_driver(set));
        }
    }
    if database.driver != DatabaseDriver::Sqlite && database.sqlite.path.is_some() {
        let section = Section { name: "sqlite", provenances };
        return Err(section.of_another_driver("path"));
    }
    Ok(())
}

/// The settings of a server, and whether each is set. The URL is the first, and its parts are the
/// next five.
fn settings(server: &DatabaseServer) -> [(&'static str, bool); 8] {
    [
        ("url", server.url.is_some()),
        ("host", server.host.is_some()),
        ("port", server.port != 0),
        ("user", server.user.is_some()),
        ("password", server.password.is_some()),
        ("database", server.database.is_some()),
        ("ssl_mode", server.ssl_mode != SslMode::Unset),
        ("ca_file", server.ca_file.is_some()),
    ]
}

struct Section<'a> {
    name: &'static str,
    provenances: &'a Provenances,
}

impl Section<'_> {
    fn setting(&self, setting: &str) -> String {
        format!("database.{}.{setting}", self.name)
    }

    /// The setting as in the file, with its variable.
    fn shown(&self, setting: &str) -> String {
        self.provenances.name(&self.setting(setting))
    }

    fn of_another_driver(&self, setting: &str) -> ConfigError {
        let (name, set) = (self.name, self.shown(setting));
        let driver = match self.provenances.get("database.driver") {
            Provenance::Default => "DB_DRIVER is not set".to_owned(),
            Provenance::File | Provenance::Variable(_) | Provenance::Option(_) => {
                format!("{} is another one", self.provenances.name("database.driver"))
            }
        };
        ConfigError::Contradiction(format!(
            "{set} is set, but {driver}: set DB_DRIVER={name} to use it, or remove it"
        ))
    }

    fn check(&self, server: &DatabaseServer, schemes: [&str; 2]) -> Result<(), ConfigError> {
        let settings = settings(server);
        let parts = &settings[1..6];
        match &server.url {
            Some(url) => {
                if let Some((part, _)) = parts.iter().find(|(_, set)| *set) {
                    let (url, part) = (self.shown("url"), self.shown(part));
                    return Err(ConfigError::Contradiction(format!(
                        "{url} and {part} are both set; keep the URL, or its parts"
                    )));
                }
                self.check_url(url, server.ssl_mode, schemes)
            }
            None => {
                let needed = |part: &str| ["host", "user", "database"].contains(&part);
                match parts.iter().find(|(part, set)| needed(part) && !set) {
                    None => Ok(()),
                    Some((part, _)) => Err(ConfigError::Contradiction(format!(
                        "{} is {}, but {} is not set; set DB_{}_URL, or its parts",
                        self.provenances.name("database.driver"),
                        self.name,
                        self.setting(part),
                        self.name.to_ascii_uppercase()
                    ))),
                }
            }
        }
    }

    fn check_url(&self, url: &Secret, ssl_mode: SslMode, schemes: [&str; 2]) -> Result<(), ConfigError> {
        let text = url.expose();
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(ConfigError::Setting {
                setting: self.shown("url"),
                problem: format!("must be like {}user:password@host/database", schemes[0]),
            });
        }
        let has_mode = ["sslmode=", "ssl-mode="].iter().any(|parameter| text.contains(parameter));
        if has_mode && ssl_mode != SslMode::Unset {
            let (url, mode) = (self.shown("url"), self.shown("ssl_mode"));
            return Err(ConfigError::Contradiction(format!(
                "{url} and {mode} both say how TLS is used; keep one"
            )));
        }
        Ok(())
    }
}
