//! Labels of series: of the resource, the scope and the point, and which of them holds.

use super::{Room, Translation};
use crate::error::DecodeError;
use crate::otlp::names::{push_escaped, push_label};
use crate::otlp::symbols::{Symbol, Symbols};
use crate::otlp::value::attribute;
use crate::protobuf::Field;

/// Which of several values of a label holds: the lower rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// `__name__`, `le`, `job` and their like.
    Own,
    /// Of the data point.
    Attribute,
    /// Of its resource or scope.
    Inherited,
}

#[derive(Debug, Clone, Copy)]
pub struct Label {
    pub name: Symbol,
    pub rank: Rank,
    pub value: Symbol,
}

impl Translation<'_> {
    /// `job` and `instance`, and the attributes that the tenant wants at every series.
    pub(super) fn resource(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        let (mut service, mut namespace, mut instance) = (String::new(), String::new(), String::new());
        for part in field.message()? {
            let part = part?;
            if part.number != 1 {
                continue;
            }
            let (key, value) = attribute(&part)?;
            let own = match key {
                "service.name" => Some(&mut service),
                "service.namespace" => Some(&mut namespace),
                "service.instance.id" => Some(&mut instance),
                _ => None,
            };
            if let Some(own) = own {
                own.clear();
                value.write(own)?;
            }
            let settings = self.settings;
            if settings.promote_all_resource_attributes
                || settings.promote_resource_attributes.iter().any(|name| name == key)
            {
                let label = self.attribute(&part, Rank::Inherited)?;
                self.inherited.push(label);
            }
        }
        if !service.is_empty() {
            let job = if namespace.is_empty() { service } else { format!("{namespace}/{service}") };
            self.inherit("job", &job, Rank::Own);
        }
        self.inherit("instance", &instance, Rank::Own);
        Ok(())
    }

    pub(super) fn scope(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        for part in field.message()? {
            let part = part?;
            match part.number {
                1 => self.inherit("otel_scope_name", part.text()?, Rank::Inherited),
                2 => self.inherit("otel_scope_version", part.text()?, Rank::Inherited),
                3 => {
                    let label = self.prefixed("otel_scope_", &part, Rank::Inherited)?;
                    self.inherited.push(label);
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn inherit(&mut self, name: &str, value: &str, rank: Rank) {
        if !value.is_empty() {
            self.inherited.push(Label { name: self.symbols.of(name), rank, value: self.symbols.of(value) });
        }
    }

    pub(super) fn attribute(&mut self, field: &Field<'_>, rank: Rank) -> Result<Label, DecodeError> {
        self.prefixed("", field, rank)
    }

    pub(super) fn prefixed(&mut self, prefix: &str, field: &Field<'_>, rank: Rank) -> Result<Label, DecodeError> {
        let (key, value) = attribute(field)?;
        let Room { name, text, .. } = &mut self.room;
        name.clear();
        name.push_str(prefix);
        match self.settings.naming.escapes() {
            true if prefix.is_empty() => push_label(name, key),
            true => push_escaped(name, key),
            false => name.push_str(key),
        }
        text.clear();
        value.write(text)?;
        Ok(Label { name: self.symbols.of(name), rank, value: self.symbols.of(text) })
    }

    /// Sets `room.sorted` to the labels by name, each once and with a value. Attributes that become one name have their
    /// values joined.
    pub(super) fn sort_labels(&mut self) {
        let Translation { symbols, labels, room, .. } = self;
        let sorted = &mut room.sorted;
        sorted.clear();
        sorted.extend(labels.iter().filter(|label| label.value != Symbols::EMPTY && label.name != Symbols::EMPTY));
        sorted.sort_by(|a, b| symbols.text(a.name).cmp(symbols.text(b.name)).then(a.rank.cmp(&b.rank)));
        sorted.dedup_by(|next, kept| {
            if next.name != kept.name {
                return false;
            }
            if kept.rank == Rank::Attribute && next.rank == Rank::Attribute && next.value != kept.value {
                let joined = format!("{};{}", symbols.text(kept.value), symbols.text(next.value));
                kept.value = symbols.of(&joined);
            }
            true
        });
    }
}
