//! Linearizable reads of a group: all that wait are confirmed by one question to the members.

use crate::inbox::Answer;

/// Ticks after which an unanswered question is asked again: Raft forgets questions without a word.
const PATIENCE: u64 = 4;

#[derive(Default)]
pub(crate) struct Reads {
    waiting: Vec<Answer<u64>>,
    asked: Option<Asked>,
    serial: u64,
}

struct Asked {
    serial: u64,
    since: u64,
    answers: Vec<Answer<u64>>,
}

impl Reads {
    pub(crate) fn push(&mut self, answer: Answer<u64>) {
        self.waiting.push(answer);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_none()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Begins a question for all that wait; None if one is on its way, whose answer would be too old for them.
    pub(crate) fn ask(&mut self, node: u64, now: u64) -> Option<Vec<u8>> {
        if self.asked.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.serial += 1;
        self.asked = Some(Asked { serial: self.serial, since: now, answers: std::mem::take(&mut self.waiting) });
        Some(context(node, self.serial))
    }

    /// Who asked this; nobody if it was asked again since.
    pub(crate) fn confirmed(&mut self, node: u64, answered: &[u8]) -> Vec<Answer<u64>> {
        match self.asked.take_if(|asked| context(node, asked.serial) == answered) {
            Some(asked) => asked.answers,
            None => Vec::new(),
        }
    }

    /// Everyone, where no question is needed.
    pub(crate) fn take(&mut self) -> Vec<Answer<u64>> {
        let mut all = self.asked.take().map(|asked| asked.answers).unwrap_or_default();
        all.append(&mut self.waiting);
        all
    }

    /// Forgets who gave up, and takes back a question that got no answer.
    pub(crate) fn tick(&mut self, now: u64) {
        if let Some(mut asked) = self.asked.take_if(|asked| now >= asked.since + PATIENCE) {
            asked.answers.append(&mut self.waiting);
            self.waiting = asked.answers;
        }
        self.waiting.retain(|answer| !answer.is_closed());
    }
}

/// Unique among the nodes of a group.
fn context(node: u64, serial: u64) -> Vec<u8> {
    [node.to_le_bytes(), serial.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[test]
    fn one_question_serves_all_that_waited_and_is_asked_again() {
        let mut reads = Reads::default();
        let mut kept = Vec::new();
        let mut add = |reads: &mut Reads| {
            let (answer, receiver) = oneshot::channel();
            reads.push(answer);
            kept.push(receiver);
        };
        add(&mut reads);
        add(&mut reads);
        let first = reads.ask(3, 10).expect("asks");
        add(&mut reads);
        assert_eq!(reads.ask(3, 10), None, "the third came after the question");
        reads.tick(13);
        assert_eq!(reads.ask(3, 13), None);
        reads.tick(14);
        let second = reads.ask(3, 14).expect("asks again, for all three");
        assert!(reads.confirmed(3, &first).is_empty() && reads.confirmed(4, &second).is_empty());
        assert_eq!(reads.confirmed(3, &second).len(), 3);
        assert!(reads.is_idle());
        add(&mut reads);
        drop(kept);
        reads.tick(20);
        assert!(!reads.has_waiting(), "who gave up is forgotten");
    }
}
