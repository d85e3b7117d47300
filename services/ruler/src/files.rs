//! Reads Prometheus rule files: `FOLDER/TENANT/*.yaml`.

mod check;

use crate::error::Error;
use crate::group::Group;
use model::TenantId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A larger file is refused: a ConfigMap has at most 1 MiB.
const MAX_FILE: u64 = 4 << 20;

/// A file by its tenant and its name within the tenant's folder.
pub type FileName = (TenantId, String);

/// What all files have, as texts.
#[derive(Debug, Default, PartialEq)]
pub struct Texts {
    pub files: BTreeMap<FileName, Result<Arc<str>, String>>,
    /// What is wrong with the folder itself.
    pub faults: Vec<String>,
}

/// Reads all texts. An empty folder name means no rules. What begins with a dot is Kubernetes' own: a ConfigMap's files
/// are links into such a folder, which is exchanged as a whole.
pub fn read(folder: &Path) -> Texts {
    let mut texts = Texts::default();
    if folder.as_os_str().is_empty() {
        return texts;
    }
    let tenants = entries(folder).unwrap_or_else(|fault| {
        texts.faults.push(fault);
        Vec::new()
    });
    for path in tenants.into_iter().filter(|path| path.is_dir()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let found = TenantId::new(name).map_err(|e| format!("{}: {e}", path.display()));
        match found.and_then(|tenant| Ok((tenant, entries(&path)?))) {
            Ok((tenant, files)) => files.into_iter().for_each(|file| read_into(&mut texts, &tenant, &file)),
            Err(fault) => texts.faults.push(fault),
        }
    }
    texts
}

fn read_into(texts: &mut Texts, tenant: &TenantId, file: &Path) {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return };
    if file.extension().is_some_and(|e| e == "yaml" || e == "yml") {
        texts.files.insert((tenant.clone(), name.to_owned()), read_text(file));
    }
}

fn read_text(file: &Path) -> Result<Arc<str>, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("it has {size} bytes, {MAX_FILE} are the most that are read"));
    }
    Ok(std::fs::read_to_string(file).map_err(|e| e.to_string())?.into())
}

/// In their order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The groups of a file's text. `interval`: of groups that name none.
pub fn groups(file: &FileName, text: &str, interval: Duration) -> Result<Vec<Arc<Group>>, Error> {
    check::groups(file, text, interval)
}

#[cfg(test)]
mod tests;
