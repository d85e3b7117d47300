//! Finds the objects that a command line names.

use crate::args::StoreArgs;
use ::settings::Sources;
use anyhow::Context;
use catalog::{Name, name::FOLDERS};
use objects::{Object, Settings, Store};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The part of any role's settings that says where objects rest.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Place {
    data: PathBuf,
    objects: Settings,
}

impl Default for Place {
    fn default() -> Place {
        Place { data: "data".into(), objects: Settings::default() }
    }
}

impl Place {
    fn of(args: &StoreArgs) -> anyhow::Result<Place> {
        let sources = Sources::default().file(args.config.as_deref()).environment().flag("data", args.data.clone());
        Ok(sources.load()?)
    }
}

/// The store of the settings.
pub fn store(args: &StoreArgs) -> anyhow::Result<Store> {
    let Place { data, objects } = Place::of(args)?;
    let folder = data.join("objects");
    // A store that is opened makes its folder: not here.
    anyhow::ensure!(
        !objects.url.is_empty() || folder.is_dir(),
        "there is no folder {}: --data or --config say where objects rest",
        folder.display()
    );
    Ok(Store::open(&objects, &folder)?)
}

/// An object, and its name within the bucket if it has one of ours.
pub struct Found {
    pub object: Object,
    pub name: Option<String>,
}

/// A file, a URL (`s3://bucket/prefix/segments/…`, `file:///…`), or the name of an object in the store of the settings.
pub fn find(text: &str, args: &StoreArgs) -> anyhow::Result<Found> {
    let text = text.strip_prefix("file://").unwrap_or(text);
    if text.contains("://") {
        let (url, name) = split(text).with_context(|| format!("{text} names no object"))?;
        let settings = Settings { url: url.to_owned(), ..Place::of(args)?.objects };
        return found(&Store::open(&settings, Path::new("."))?, name);
    }
    let path = Path::new(text);
    if path.is_file() {
        let path = std::path::absolute(path)?;
        let text = path.to_str().with_context(|| format!("the name of {} is not UTF-8", path.display()))?;
        let (folder, name) = split(text).with_context(|| format!("{text} names no object"))?;
        return found(
            &Store::open(&Settings::default(), Path::new(if folder.is_empty() { "/" } else { folder }))?,
            name,
        );
    }
    found(&store(args)?, text)
}

fn found(store: &Store, name: &str) -> anyhow::Result<Found> {
    Ok(Found { object: store.object(name), name: Name::parse(name).map(|_| name.to_owned()) })
}

/// The place of a bucket, and the name within it: that which objects of ours have, or what follows the last slash.
fn split(text: &str) -> Option<(&str, &str)> {
    for folder in FOLDERS {
        if let Some(at) = text.rfind(&format!("/{folder}/"))
            && Name::parse(&text[at + 1..]).is_some()
        {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    text.rsplit_once('/').filter(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_place_and_a_name() {
        let name = "segments/logs-0/0000000000000000-0000000000000005-1.seg";
        for base in ["s3://bucket", "file:///data/objects", "/segments/odd", ""] {
            assert_eq!(split(&format!("{base}/{name}")), Some((base, name)));
        }
        assert_eq!(split("/tmp/copy.seg"), Some(("/tmp", "copy.seg")));
        assert_eq!(split("s3://bucket/a/segments/x"), Some(("s3://bucket/a/segments", "x")));
        assert_eq!((split("copy.seg"), split("s3://bucket/")), (None, None));
    }
}
