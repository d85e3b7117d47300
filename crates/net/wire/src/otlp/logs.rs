//! Makes a body of Loki's push of OTLP's log records: attributes of the resource that the tenant chose become labels,
//! all others structured metadata.
//!
//! The names of the metadata are those of Loki's documentation: attributes and scope attributes by their names,
//! `scope_name`, `scope_version`, `severity_text`, `severity_number`, `observed_timestamp`, `trace_id`, `span_id`,
//! `flags` and `…dropped_attributes_count`.

use super::names::push_label;
use super::value::{Any, attribute, flatten, hex, write};
use crate::discover::{self, SERVICE_NAME};
use crate::error::DecodeError;
use crate::loki::{Builder, label_text};
use crate::protobuf::{Field, Fields};
use std::collections::BTreeMap;
use tenancy::{DiscoverySettings, OtlpSettings};

/// What steers a translation.
#[derive(Debug, Clone, Copy)]
pub struct Mapping<'a> {
    pub otlp: &'a OtlpSettings,
    pub discover: &'a DiscoverySettings,
    /// Unix nanoseconds, for records without a time.
    pub now: i64,
    /// Bytes that may be written.
    pub limit: usize,
}

type Labels = BTreeMap<String, String>;

/// What the records of a resource have in common.
struct Resource<'m> {
    labels: Labels,
    /// The labels as a stream has them.
    text: String,
    /// What they say of the level.
    level: Level<'m>,
}

fn text_of(labels: &Labels) -> String {
    label_text(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Pairs of metadata, in the order in which they came.
#[derive(Debug, Default)]
struct Pairs(Vec<(String, String)>);

struct Translation<'m> {
    mapping: Mapping<'m>,
    builder: Builder,
    name: String,
    text: String,
    line: String,
}

/// Gives the uncompressed push body, empty when there are no records.
pub fn translate(body: &[u8], mapping: Mapping<'_>) -> Result<Vec<u8>, DecodeError> {
    let mut this =
        Translation { mapping, builder: Builder::new(), name: String::new(), text: String::new(), line: String::new() };
    for field in Fields::new(body) {
        let field = field?;
        if field.number == 1 {
            this.resource_logs(&field)?;
        }
    }
    Ok(this.builder.finish())
}

impl Translation<'_> {
    fn resource_logs(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        let (mut labels, mut common) = (Labels::new(), Pairs::default());
        for part in field.message()? {
            let part = part?;
            if part.number == 1 {
                self.resource(&part, &mut labels, &mut common)?;
            }
        }
        self.service(&mut labels);
        let resource = Resource { text: text_of(&labels), level: Level::new(self.mapping.discover, &labels), labels };
        let of_resource = common.0.len();
        for part in field.message()? {
            let part = part?;
            if part.number == 2 {
                self.scope_logs(&part, &resource, &mut common)?;
                common.0.truncate(of_resource);
            }
        }
        Ok(())
    }

    /// Sorts the attributes of a resource into labels and metadata.
    fn resource(&mut self, field: &Field<'_>, labels: &mut Labels, common: &mut Pairs) -> Result<(), DecodeError> {
        for part in field.message()? {
            let part = part?;
            match part.number {
                1 => {
                    let (key, value) = attribute(&part)?;
                    let index = self.mapping.otlp.index_attributes.iter().any(|name| name == key);
                    match index {
                        true => self.flatten(key, &value, &mut |name, text| {
                            if !text.is_empty() {
                                labels.insert(name.to_owned(), text.to_owned());
                            }
                        })?,
                        false => self.flatten(key, &value, &mut |name, text| common.add(name, text))?,
                    }
                }
                2 => common.count("resource_dropped_attributes_count", part.varint()?),
                _ => {}
            }
        }
        Ok(())
    }

    fn service(&self, labels: &mut Labels) {
        if !labels.contains_key(SERVICE_NAME) {
            let found = discover::service_name(&self.mapping.discover.service_name, |name| {
                labels.get(name).map(String::as_str)
            });
            if let Some(service) = found.map(str::to_owned) {
                labels.insert(SERVICE_NAME.to_owned(), service);
            }
        }
    }

    fn scope_logs(
        &mut self,
        field: &Field<'_>,
        resource: &Resource<'_>,
        common: &mut Pairs,
    ) -> Result<(), DecodeError> {
        for part in field.message()? {
            let part = part?;
            if part.number == 1 {
                self.scope(&part, common)?;
            }
        }
        let mut open = false;
        for part in field.message()? {
            let part = part?;
            if part.number == 2 {
                self.record(&part, resource, common, &mut open)?;
            }
        }
        Ok(())
    }

    fn scope(&mut self, field: &Field<'_>, common: &mut Pairs) -> Result<(), DecodeError> {
        for part in field.message()? {
            let part = part?;
            match part.number {
                1 => common.add("scope_name", part.text()?),
                2 => common.add("scope_version", part.text()?),
                3 => {
                    let (key, value) = attribute(&part)?;
                    self.flatten(key, &value, &mut |name, text| common.add(name, text))?;
                }
                4 => common.count("scope_dropped_attributes_count", part.varint()?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds one line. `open`: whether the stream with the resource's labels is the one that lines are added to.
    fn record(
        &mut self,
        field: &Field<'_>,
        resource: &Resource<'_>,
        common: &Pairs,
        open: &mut bool,
    ) -> Result<(), DecodeError> {
        let record = Record::read(field)?;
        let own = self.own_labels(&record)?;
        match own {
            None if *open => {}
            None => {
                self.builder.stream(&resource.text);
                *open = true;
            }
            Some(own) => {
                let mut all = resource.labels.clone();
                all.extend(own);
                self.builder.stream(&text_of(&all));
                *open = false;
            }
        }
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        record.body.write(&mut line)?;
        self.builder.start(record.time(self.mapping.now), &line);
        let (mut text, mut level) = (std::mem::take(&mut self.text), resource.level);
        for (name, value) in &common.0 {
            level.see(name, value);
            self.builder.add_metadata(name, value);
        }
        self.own_metadata(&record, &mut text, &mut level)?;
        if let Some(level) = level.find(&line) {
            self.builder.add_metadata(discover::DETECTED_LEVEL, level);
        }
        self.builder.end();
        (self.line, self.text) = (line, text);
        match self.builder.len() > self.mapping.limit {
            true => Err(DecodeError::TooLarge { len: self.builder.len(), limit: self.mapping.limit }),
            false => Ok(()),
        }
    }

    /// Labels of a record itself, if the tenant wants any and it has them.
    fn own_labels(&mut self, record: &Record<'_>) -> Result<Option<Labels>, DecodeError> {
        let wanted = &self.mapping.otlp.index_log_attributes;
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut labels = Labels::new();
        let is_wanted = |key: &str| wanted.iter().any(|name| name == key);
        if !record.severity_text.is_empty() && is_wanted("severity_text") {
            labels.insert("severity_text".to_owned(), record.severity_text.to_owned());
        }
        for part in record.fields {
            let part = part?;
            if part.number != ATTRIBUTES {
                continue;
            }
            let (key, value) = attribute(&part)?;
            if is_wanted(key) {
                self.flatten(key, &value, &mut |name, text| drop(labels.insert(name.to_owned(), text.to_owned())))?;
            }
        }
        Ok((!labels.is_empty()).then_some(labels))
    }

    fn own_metadata(
        &mut self,
        record: &Record<'_>,
        text: &mut String,
        level: &mut Level<'_>,
    ) -> Result<(), DecodeError> {
        for part in record.fields {
            let part = part?;
            if part.number != ATTRIBUTES {
                continue;
            }
            let (key, value) = attribute(&part)?;
            if self.is_dropped(key) || self.mapping.otlp.index_log_attributes.iter().any(|name| name == key) {
                continue;
            }
            let mut name = std::mem::take(&mut self.name);
            name.clear();
            push_label(&mut name, key);
            flatten(&mut name, &value, text, &mut |name, value| {
                level.see(name, value);
                self.builder.add_metadata(name, value);
                Ok(())
            })?;
            self.name = name;
        }
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                level.see(name, value);
                self.builder.add_metadata(name, value);
            }
        };
        for (name, number) in [
            ("severity_number", record.severity),
            ("observed_timestamp", record.observed),
            ("dropped_attributes_count", record.dropped),
            ("flags", u64::from(record.flags)),
        ] {
            text.clear();
            if number != 0 {
                write(text, number);
            }
            add(name, text);
        }
        add("severity_text", record.severity_text);
        add("event_name", record.event);
        for (name, id) in [("trace_id", record.trace), ("span_id", record.span)] {
            text.clear();
            hex(text, id);
            add(name, text);
        }
        Ok(())
    }

    fn is_dropped(&self, key: &str) -> bool {
        self.mapping.otlp.drop_attributes.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => pattern == key,
        })
    }

    fn flatten(&mut self, key: &str, value: &Any<'_>, each: &mut impl FnMut(&str, &str)) -> Result<(), DecodeError> {
        if self.is_dropped(key) {
            return Ok(());
        }
        self.name.clear();
        push_label(&mut self.name, key);
        flatten(&mut self.name, value, &mut self.text, &mut |name, text| {
            each(name, text);
            Ok(())
        })
    }
}

impl Pairs {
    fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    fn count(&mut self, name: &str, count: u64) {
        if count > 0 {
            self.0.push((name.to_owned(), count.to_string()));
        }
    }
}

/// Looks for a level, if it is to be found.
#[derive(Clone, Copy)]
struct Level<'a>(Option<discover::Level<'a>>);

impl<'a> Level<'a> {
    fn new(settings: &'a DiscoverySettings, labels: &Labels) -> Level<'a> {
        let mut level = settings.levels.then(|| discover::Level::new(&settings.level_fields));
        if let Some(level) = &mut level {
            labels.iter().for_each(|(name, value)| level.see(name, value));
        }
        Level(level)
    }

    fn see(&mut self, name: &str, value: &str) {
        if let Some(level) = &mut self.0 {
            level.see(name, value);
        }
    }

    fn find(&self, line: &str) -> Option<&str> {
        self.0.as_ref().and_then(|level| level.find(line))
    }
}

/// The attributes of a record.
const ATTRIBUTES: u32 = 6;

struct Record<'a> {
    fields: Fields<'a>,
    time: u64,
    observed: u64,
    severity: u64,
    severity_text: &'a str,
    event: &'a str,
    body: Any<'a>,
    dropped: u64,
    flags: u32,
    trace: &'a [u8],
    span: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(field: &Field<'a>) -> Result<Record<'a>, DecodeError> {
        let mut record = Record {
            fields: field.message()?,
            time: 0,
            observed: 0,
            severity: 0,
            severity_text: "",
            event: "",
            body: Any::Empty,
            dropped: 0,
            flags: 0,
            trace: &[],
            span: &[],
        };
        for part in record.fields {
            let part = part?;
            match part.number {
                1 => record.time = part.fixed64()?,
                2 => record.severity = part.varint()?,
                3 => record.severity_text = part.text()?,
                5 => record.body = Any::read(&part)?,
                7 => record.dropped = part.varint()?,
                8 => record.flags = part.fixed32()?,
                9 => record.trace = part.bytes()?,
                10 => record.span = part.bytes()?,
                11 => record.observed = part.fixed64()?,
                12 => record.event = part.text()?,
                _ => {}
            }
        }
        Ok(record)
    }

    /// When it happened, or was seen, or arrived.
    fn time(&self, now: i64) -> i64 {
        let time = if self.time != 0 { self.time } else { self.observed };
        if time == 0 { now } else { i64::try_from(time).unwrap_or(i64::MAX) }
    }
}
