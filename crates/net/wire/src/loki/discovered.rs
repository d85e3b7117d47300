//! Adds to a push what can be found out about its lines.

use super::{Builder, label_text, parse_labels, streams};
use crate::discover::{DETECTED_LEVEL, Level, SERVICE_NAME, service_name};
use crate::error::DecodeError;
use tenancy::DiscoverySettings;

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
        let service = match labels.get(SERVICE_NAME) {
            // Without any label it is a mistake, to be told by the check.
            Some(_) => None,
            None if labels.is_empty() => None,
            None => service_name(&settings.service_name, |name| labels.get(name)),
        };
        match service {
            None => builder.stream(stream.labels),
            Some(service) => {
                let mut pairs: Vec<(&str, &str)> = labels.iter().chain([(SERVICE_NAME, service)]).collect();
                pairs.sort_unstable();
                builder.stream(&label_text(pairs.into_iter()))
            }
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
            match level.find(entry.line).filter(|_| settings.levels) {
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
