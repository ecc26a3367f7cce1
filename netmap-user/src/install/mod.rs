//! Docker's settings: what has to stand in them so that it publishes by netmap, and how they get back to what they were.
//!
//! - [`document`]: daemon.json, whose other keys, their order and their text stay as they are;
//! - [`wanted`]: the keys that netmap needs, and what stands in its way;
//! - [`file`](mod@file): a file that is replaced as a whole or not at all;
//! - [`daemons`]: the dockerds that run, and what they were told on their command line;
//! - [`mod@unit`]: the drop-ins by which systemd starts netmap first, and by which netmap follows Docker.

pub mod daemons;
pub mod document;
pub mod file;
pub mod unit;
pub mod wanted;

use std::{
    io,
    path::{Path, PathBuf},
};

use document::{Document, DocumentError};
use unit::DropIn;
use wanted::Obstacle;

/// What the backup holds where there was no daemon.json: no JSON, so it cannot be one's text.
const ABSENT: &str = "netmap: there was none\n";

/// Where Docker's settings are.
#[derive(Clone, Debug)]
pub struct Places {
    /// daemon.json.
    pub daemon_json: PathBuf,
    /// netmap's docker-proxy.
    pub proxy: PathBuf,
    /// The folder of systemd's units, if drop-ins are wanted.
    pub systemd: Option<PathBuf>,
}

/// Why the settings stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Its text is no settings of Docker's.
    #[error("{} {source}; nothing was changed", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// Docker would not start with them.
    #[error("{0}; nothing was changed")]
    Obstacle(#[from] Obstacle),
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's word.
        source: io::Error,
    },
}

/// What is to be done about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// Its text from now on; `None` if it goes.
    pub text: Option<String>,
}

/// What installing or removing would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub changes: Vec<Change>,
    /// What the administrator should know beside.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Does it.
    ///
    /// # Errors
    ///
    /// A file cannot be written; those before it have changed.
    pub fn carry_out(&self) -> Result<(), InstallError> {
        for change in &self.changes {
            let path = &change.path;
            match &change.text {
                Some(text) => file::replace(path, text).map_err(file_error("write", path))?,
                None => file::remove(path).map_err(file_error("remove", path))?,
            }
        }
        Ok(())
    }
}

/// Where the text of daemon.json before netmap is kept.
pub fn backup_of(daemon_json: &Path) -> PathBuf {
    let mut name = daemon_json.file_name().unwrap_or_default().to_owned();
    name.push(".before-netmap");
    daemon_json.with_file_name(name)
}

/// What makes Docker publish by netmap.
///
/// # Errors
///
/// Docker would refuse the settings, or they cannot be read.
pub fn install(places: &Places) -> Result<Plan, InstallError> {
    let path = file::target(&places.daemon_json);
    let before = read(&path)?;
    let mut document = parse(&path, before.as_deref())?;
    wanted::check(&document, &path, &places.proxy)?;
    daemons::check(&places.daemon_json)?;
    let mut plan = Plan {
        remarks: wanted::remarks(&document),
        ..Plan::default()
    };
    if wanted::differences(&document, &places.proxy).is_empty() {
        plan.remarks
            .push(format!("{} has what it takes already", path.display()));
    } else {
        wanted::apply(&mut document, &places.proxy);
        let backup = backup_of(&path);
        if read(&backup)?.is_none() {
            plan.changes.push(Change {
                path: backup,
                text: Some(before.unwrap_or_else(|| ABSENT.to_owned())),
            });
        }
        plan.changes.push(Change {
            path,
            text: Some(document.text()),
        });
    }
    if let Some(folder) = &places.systemd {
        add_drop_ins(folder, &document, &mut plan)?;
    }
    Ok(plan)
}

/// What brings Docker's settings back to what they were. Where somebody has changed others since, those stay.
///
/// # Errors
///
/// They cannot be read.
pub fn remove(places: &Places) -> Result<Plan, InstallError> {
    let path = file::target(&places.daemon_json);
    let backup = backup_of(&path);
    let mut plan = Plan::default();
    match (read(&backup)?, read(&path)?) {
        (None, None) => {}
        (None, Some(now)) => {
            // Written by hand, or the backup is gone: what is ours is known all the same.
            let mut document = parse(&path, Some(&now))?;
            if wanted::is_ours(&document) {
                wanted::take_back(&mut document, &Document::default());
                plan.changes.push(Change {
                    path,
                    text: Some(document.text()),
                });
            }
        }
        (Some(before), now) => {
            let before = (before != ABSENT).then_some(before);
            if let Some(now) = now {
                plan.changes.push(Change {
                    text: restored(&path, before, &now)?,
                    path,
                });
            }
            plan.changes.push(Change {
                path: backup,
                text: None,
            });
        }
    }
    if let Some(folder) = &places.systemd {
        for path in [unit::before_docker(folder), unit::follows_docker(folder)] {
            if read(&path)?.is_some_and(|text| unit::is_ours(&text)) {
                plan.changes.push(Change { path, text: None });
            }
        }
    }
    Ok(plan)
}

/// systemd's part of an installation.
fn add_drop_ins(folder: &Path, document: &Document, plan: &mut Plan) -> Result<(), InstallError> {
    for DropIn { path, text } in unit::drop_ins(folder, document) {
        match read(&path)? {
            Some(before) if before == text => {}
            Some(before) if !unit::is_ours(&before) => plan.remarks.push(format!(
                "{} is not netmap's and stays; it should say\n{text}",
                path.display()
            )),
            _ => plan.changes.push(Change {
                path,
                text: Some(text),
            }),
        }
    }
    if unit::group(document).is_none() {
        plan.remarks.push(
            "there is no group that may read Docker's socket: once there is (Docker's package makes `docker`), do this again, or \
             the unit's user netmap cannot follow Docker"
                .to_owned(),
        );
    }
    Ok(())
}

/// The text that daemon.json gets back; `None` where there was no file.
fn restored(path: &Path, before: Option<String>, now: &str) -> Result<Option<String>, InstallError> {
    let original = parse(path, before.as_deref())?;
    let mut document = parse(path, Some(now))?;
    let mut written = original.clone();
    if let Some(proxy) = wanted::proxy_of(&document) {
        wanted::apply(&mut written, &proxy);
    }
    if written.text() == now {
        return Ok(before);
    }
    wanted::take_back(&mut document, &original);
    if before.is_none() && document.is_empty() {
        return Ok(None);
    }
    Ok(Some(document.text()))
}

/// A file's text; `None` if there is no such file.
///
/// # Errors
///
/// It cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, InstallError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error("read", path)(error)),
    }
}

/// Settings from the text of `path`; without a text, or with nothing in it, there are none.
///
/// # Errors
///
/// It is no JSON object.
pub fn parse(path: &Path, text: Option<&str>) -> Result<Document, InstallError> {
    Document::parse(text.unwrap_or_default()).map_err(|source| InstallError::Document {
        path: path.to_owned(),
        source,
    })
}

fn file_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError::File { what, path, source }
}

#[cfg(test)]
mod tests;
