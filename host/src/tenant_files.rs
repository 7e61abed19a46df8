//! `larder tenant`: the files of the tenants, which a running server follows.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use larder::{
    TenantName,
    config::{Config, REMOVED_TENANT, TenantSummary},
};
use toml::{Table, Value};

use crate::cli::NewTenant;

/// Writes the file of a new tenant, and returns its path.
pub(crate) fn add(config: &Config, new: &NewTenant) -> anyhow::Result<PathBuf> {
    let (dir, name) = (directory(config)?, name(&new.name)?);
    let file = dir.join(format!("{name}.toml"));
    ensure!(!mark(dir, &name).exists(), "the tenant {name} is being removed; wait until it is gone");
    fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    // Not a tenant's file yet, and nobody else's to read: secrets may be added to it.
    let draft = dir.join(format!(".{name}.{}", std::process::id()));
    let text = toml::to_string(&table(new))?;
    let mut writer = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = writer.write_all(text.as_bytes()).and_then(|()| writer.sync_all());
    // A link and not a rename: a tenant that is there is not replaced.
    let linked = written.and_then(|()| fs::hard_link(&draft, &file));
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("there is a tenant {name} already")
        }
        other => other.with_context(|| format!("{}: cannot be written", file.display()))?,
    }
    let added = config.tenants()?.into_iter().find(|tenant| tenant.name == name.as_str());
    if let Some(fault) = added.and_then(|tenant| tenant.fault) {
        fs::remove_file(&file)?;
        bail!("{fault}");
    }
    Ok(file)
}

fn table(new: &NewTenant) -> Table {
    let texts = |texts: &[String]| Value::Array(texts.iter().cloned().map(Value::String).collect());
    let mut tenant = Table::new();
    for (setting, values) in [("hosts", &new.hosts), ("listen", &new.listen)] {
        if !values.is_empty() {
            tenant.insert(setting.to_owned(), texts(values));
        }
    }
    if new.by_issuer {
        tenant.insert("by_issuer".to_owned(), Value::Boolean(true));
    }
    let mut auth = Table::new();
    auth.insert("issuers".to_owned(), texts(&new.issuers));
    for (setting, values) in [("owners", &new.owners), ("repositories", &new.repositories)] {
        if !values.is_empty() {
            auth.insert(setting.to_owned(), texts(values));
        }
    }
    Table::from_iter([("tenant".to_owned(), tenant.into()), ("auth".to_owned(), auth.into())])
}

/// Lists the tenants, a line each.
pub(crate) fn list(config: &Config) -> anyhow::Result<String> {
    directory(config)?;
    let lines = config.tenants()?.into_iter().map(|tenant| line(&tenant));
    Ok(lines.collect())
}

fn line(tenant: &TenantSummary) -> String {
    let TenantSummary { name, hosts, listen, is_by_issuer, is_being_removed, fault } = tenant;
    match fault {
        _ if *is_being_removed => format!("{name}\tbeing removed\n"),
        Some(fault) => format!("{name}\tfault: {fault}\n"),
        None => {
            let listen: String = listen.iter().map(|address| format!("\tlistens on {address}")).collect();
            let by_issuer = if *is_by_issuer { "\tby issuer" } else { "" };
            format!("{name}\t{}{listen}{by_issuer}\n", hosts.join(" "))
        }
    }
}

/// Marks a tenant as removed. The running server, or the next one, deletes what it has.
pub(crate) fn remove(config: &Config, text: &str) -> anyhow::Result<()> {
    let (dir, name) = (directory(config)?, name(text)?);
    match fs::rename(dir.join(format!("{name}.toml")), mark(dir, &name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!("there is no tenant {name}"),
        renamed => renamed.with_context(|| format!("cannot remove the tenant {name}")),
    }
}

fn directory(config: &Config) -> anyhow::Result<&Path> {
    let dir = config.settings.tenants.dir.as_deref();
    dir.context("this server has one tenant: set tenants.dir (LARDER_TENANTS_DIR) to a directory for the files of tenants")
}

fn name(text: &str) -> anyhow::Result<TenantName> {
    let name: TenantName = text.parse()?;
    ensure!(!name.is_default(), "the tenant `default` is described by the configuration of the server");
    Ok(name)
}

fn mark(dir: &Path, name: &TenantName) -> PathBuf {
    dir.join(format!("{name}.{REMOVED_TENANT}"))
}
