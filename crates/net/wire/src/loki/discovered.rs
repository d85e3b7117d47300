//! Adds to a push what can be found out about its lines.

use super::{Builder, label_text, parse_labels, streams};
use crate::discover::{DETECTED_LEVEL, Level, SERVICE_NAME, service_name};
use crate::error::DecodeError;
use model::Labels;
use tenancy::DiscoverySettings;

/// The labels of a stream with its `service_name`, if that is not told and the tenant wants it. One without any label is a
/// mistake, to be told by the check.
pub fn with_service(labels: Labels, settings: &DiscoverySettings) -> Labels {
    if labels.is_empty() || labels.get(SERVICE_NAME).is_some() {
        return labels;
    }
    match service_name(&settings.service_name, |name| labels.get(name)) {
        Some(service) => labels.with(SERVICE_NAME, service),
        None => labels,
    }
}

/// The same body with each stream's `service_name` and each line's `detected_level`, where they are not told and the
/// tenant wants them; of at most `limit` bytes. Streams whose labels cannot be read stay as they are.
pub fn discover(body: &[u8], settings: &DiscoverySettings, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut builder = Builder::new();
    for stream in streams(body) {
        let stream = stream?;
        let Ok(labels) = parse_labels(stream.labels) else {
            builder.copy_stream(&stream);
            continue;
        };
        let given = labels.len();
        let labels = with_service(labels, settings);
        match labels.len() == given {
            true => builder.stream(stream.labels),
            false => builder.stream(&label_text(labels.iter())),
        };
        let mut of_stream = Level::new(&settings.level_fields);
        labels.iter().for_each(|(name, value)| of_stream.see(name, value));
        for entry in stream.entries() {
            let entry = entry?;
            let mut level = of_stream;
            for pair in entry.metadata() {
                let (name, value) = pair?;
                level.see(name, value);
            }
            match settings.levels.then(|| level.find(entry.line)).flatten() {
                Some(level) => builder.copy_entry_with(&entry, DETECTED_LEVEL, level),
                None => builder.copy_entry(&entry),
            };
            if builder.len() > limit {
                return Err(DecodeError::TooLarge { len: builder.len(), limit });
            }
        }
    }
    Ok(builder.finish())
}
