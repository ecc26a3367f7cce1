//! Many bindings at once, a line each: `netmap publish --file`, `netmap unpublish --file`.

use std::{fs, io, path::Path, str::FromStr as _};

use crate::{
    binding::{Binding, HostPorts},
    spec::{self, PublishSpec, SpecError},
};

/// A list that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    /// The file.
    #[error("{file} cannot be read: {source}")]
    Read {
        /// Its name.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// One of its lines.
    #[error("{file}, line {line}: {source}")]
    Line {
        /// The file's name.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        source: LineError,
    },
    /// Nothing to do.
    #[error("{0} lists nothing")]
    Empty(String),
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// One of its words.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Too few or too many words.
    #[error("{0:?} is not SPEC CONTAINER_IP[,CONTAINER_IP] [CIDR,..]")]
    Publish(String),
    /// Not one word.
    #[error("{0:?} is not one SPEC")]
    Unpublish(String),
}

/// The bindings that a file lists.
pub(super) fn bindings(file: &Path) -> Result<Vec<Binding>, BatchError> {
    let (name, text) = read(file)?;
    bindings_in(name, &text)
}

/// The bindings that the text of a file of this name lists.
pub(crate) fn bindings_in(name: String, text: &str) -> Result<Vec<Binding>, BatchError> {
    let lines = parse(name, text, line_bindings)?;
    Ok(lines.into_iter().flatten().collect())
}

/// The published sides that a file lists.
pub(super) fn published(file: &Path) -> Result<Vec<HostPorts>, BatchError> {
    let (name, text) = read(file)?;
    published_in(name, &text)
}

/// The published sides that the text of a file of this name lists.
pub(crate) fn published_in(name: String, text: &str) -> Result<Vec<HostPorts>, BatchError> {
    parse(name, text, |line| {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [spec] => Ok(HostPorts::from_str(spec)?),
            _ => Err(LineError::Unpublish(line.to_owned())),
        }
    })
}

/// A file's name and text.
fn read(file: &Path) -> Result<(String, String), BatchError> {
    let (name, text) = if file == Path::new("-") {
        ("stdin".to_owned(), io::read_to_string(io::stdin()))
    } else {
        (file.display().to_string(), fs::read_to_string(file))
    };
    match text {
        Ok(text) => Ok((name, text)),
        Err(source) => Err(BatchError::Read { file: name, source }),
    }
}

fn parse<T>(
    name: String,
    text: &str,
    item: impl Fn(&str) -> Result<T, LineError>,
) -> Result<Vec<T>, BatchError> {
    let items = lines(text)
        .map(|(line, words)| {
            item(words).map_err(|source| BatchError::Line {
                file: name.clone(),
                line,
                source,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() {
        Err(BatchError::Empty(name))
    } else {
        Ok(items)
    }
}

/// What is neither empty nor a comment, with the numbers of the lines.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines());
    numbered
        .map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, line)| !line.is_empty())
}

fn line_bindings(line: &str) -> Result<Vec<Binding>, LineError> {
    let (spec, targets, allow) = match line.split_whitespace().collect::<Vec<_>>()[..] {
        [spec, targets] => (spec, targets, ""),
        [spec, targets, allow] => (spec, targets, allow),
        _ => return Err(LineError::Publish(line.to_owned())),
    };
    let targets = targets
        .split(',')
        .map(spec::parse_target)
        .collect::<Result<Vec<_>, _>>()?;
    let sources = allow.split(',').filter(|source| !source.is_empty());
    let allow = sources.map(spec::parse_source).collect::<Result<Vec<_>, _>>()?;
    Ok(PublishSpec::from_str(spec)?.bind(&targets, &allow)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn a_line_is_what_the_command_line_would_say() {
        let (_folder, path) =
            file("# web\n8080:80 172.17.0.2,fd00::2\n\n53:53/udp 172.17.0.3 10.0.0.0/8,192.0.2.7 # inside\n");
        let listed: Vec<String> = bindings(&path).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            listed,
            [
                "0.0.0.0:8080->172.17.0.2:80/tcp",
                "[::]:8080->[fd00::2]:80/tcp",
                "0.0.0.0:53->172.17.0.3:53/udp",
                "[::]:53->172.17.0.3:53/udp"
            ]
        );
        let allow = bindings(&path)
            .unwrap()
            .into_iter()
            .map(|binding| binding.allow.len());
        assert_eq!(allow.collect::<Vec<_>>(), [0, 0, 2, 1]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let told = |text: &str| {
            let (_folder, path) = file(text);
            let error = bindings(&path).unwrap_err().to_string();
            error.replace(path.to_str().unwrap(), "list")
        };
        assert_eq!(
            told("8080:80 172.17.0.2\n8081:80\n"),
            "list, line 2: \"8081:80\" is not SPEC CONTAINER_IP[,CONTAINER_IP] [CIDR,..]"
        );
        assert!(told("0:80 172.17.0.2").starts_with("list, line 1: port 0"));
        assert_eq!(told("# nothing\n"), "list lists nothing");
    }

    #[test]
    fn what_to_take_back_is_one_word_a_line() {
        let (_folder, path) = file("8080\n[2001:db8::1]:53/udp\n");
        assert_eq!(published(&path).unwrap().len(), 2);
        let (_folder, path) = file("8080 172.17.0.2\n");
        assert!(published(&path).is_err());
    }
}
