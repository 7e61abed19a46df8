use super::{from_env, load, refused};
use crate::config::{DatabaseDriver, SslMode};

#[test]
fn each_variable_of_a_database_server_has_its_effect() {
    for (driver, prefix) in [("postgres", "DB_POSTGRES"), ("mysql", "DB_MYSQL")] {
        let name = |part: &str| format!("{prefix}_{part}");
        let parts = [
            ("HOST", "db.example"),
            ("PORT", "7"),
            ("USER", "u"),
            ("PASSWORD", "hush"),
            ("DATABASE", "d"),
            ("SSL_MODE", "verify-full"),
            ("CA_FILE", "/ca"),
        ];
        let mut variables: Vec<_> = parts.iter().map(|(part, value)| (name(part), *value)).collect();
        variables.push(("DB_DRIVER".to_owned(), driver));
        let variables: Vec<_> = variables.iter().map(|(name, value)| (&**name, *value)).collect();
        let config = from_env(&variables).unwrap();
        let database = &config.settings.database;
        let server = match database.driver {
            DatabaseDriver::Postgres => &database.postgres,
            DatabaseDriver::Mysql => &database.mysql,
            DatabaseDriver::Sqlite => panic!("another driver"),
        };
        assert_eq!(server.host.as_deref(), Some("db.example"));
        assert_eq!((server.port, server.ssl_mode), (7, SslMode::VerifyFull));
        assert_eq!((server.user.as_deref(), server.database.as_deref()), (Some("u"), Some("d")));
        assert_eq!(server.password.as_ref().unwrap().expose(), "hush");
        assert_eq!(server.ca_file.as_ref().unwrap().to_str(), Some("/ca"));
        let url = format!("{driver}://u:hush@h/d");
        let config = from_env(&[("DB_DRIVER", driver), (&name("URL"), &url)]).unwrap();
        let database = &config.settings.database;
        let server = if driver == "mysql" { &database.mysql } else { &database.postgres };
        assert_eq!(server.url.as_ref().unwrap().expose(), url);
        for shown in [config.effective_toml(), format!("{config:?}")] {
            assert!(shown.contains("***") && !shown.contains("hush"), "{shown}");
        }
    }
}

#[test]
fn a_database_server_needs_its_url_or_its_parts_and_not_both() {
    let postgres = ("DB_DRIVER", "postgres");
    refused(from_env(&[postgres]), &["database.postgres.host is not set", "DB_POSTGRES_URL"]);
    let host = ("DB_POSTGRES_HOST", "h");
    refused(from_env(&[postgres, host]), &["database.postgres.user is not set"]);
    let user = ("DB_POSTGRES_USER", "u");
    refused(from_env(&[postgres, host, user]), &["database.postgres.database is not set"]);
    let url = ("DB_POSTGRES_URL", "postgres://u:hush@h/d");
    for part in [host, user, ("DB_POSTGRES_PASSWORD", "hush"), ("DB_POSTGRES_PORT", "1")] {
        refused(from_env(&[postgres, url, part]), &["(DB_POSTGRES_URL)", part.0, "both set"]);
    }
    from_env(&[postgres, url, ("DB_POSTGRES_CA_FILE", "/ca"), ("DB_POSTGRES_SSL_MODE", "require")]).unwrap();
}

#[test]
fn what_is_wrong_with_a_database_server_is_told_without_its_password() {
    let mysql = ("DB_DRIVER", "mysql");
    refused(from_env(&[mysql, ("DB_MYSQL_URL", "postgres://u:hush@h/d")]), &["DB_MYSQL_URL", "mysql://"]);
    let with_mode = ("DB_MYSQL_URL", "mysql://u:hush@h/d?ssl-mode=REQUIRED");
    from_env(&[mysql, with_mode]).unwrap();
    refused(
        from_env(&[mysql, with_mode, ("DB_MYSQL_SSL_MODE", "disable")]),
        &["DB_MYSQL_URL", "DB_MYSQL_SSL_MODE", "keep one"],
    );
    refused(
        from_env(&[mysql, ("DB_MYSQL_SSL_MODE", "maybe")]),
        &["database.mysql.ssl_mode (DB_MYSQL_SSL_MODE)", "`maybe`", "verify-full"],
    );
    refused(load("[database.postgres]\npassword = 7", &[]), &["line 2", "database.postgres.password"]);
    refused(load("[database.postgres]\nport = 70000", &[]), &["line 2", "database.postgres.port"]);
}

#[test]
fn settings_of_another_database_are_refused_wherever_they_are() {
    let file = "[database]\ndriver = \"mysql\"\nmysql = { url = \"mysql://u:hush@h/d\" }";
    load(file, &[]).unwrap();
    let other = ("DB_POSTGRES_PASSWORD", "hush");
    refused(load(file, &[other]), &["DB_POSTGRES_PASSWORD", "database.driver is another one"]);
    refused(load(file, &[("DB_SQLITE_PATH", "/x")]), &["DB_SQLITE_PATH", "database.driver is another one"]);
    refused(load("database.postgres.host = \"h\"", &[]), &["database.postgres.host", "DB_DRIVER is not set"]);
}
