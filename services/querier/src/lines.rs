//! One tenant's lines for the engine, and parts of queries of them that are done where the lines are: by the leaders of
//! shards with those of their heads, by the other queriers with row groups of objects, of which each has more in its cache of
//! those that the ring gives it.

use crate::error::QueryError;
use crate::heads::Question;
use crate::looked::Looked;
use crate::others::{Others, Replies, listen};
use crate::pieces::{Piece, Telling, deal, named, runs};
use crate::querier::{Parts, Querier};
use crate::reading::Reading;
use crate::source::{Replies as HeadReplies, Snapshot, TenantRows};
use bytes::Bytes;
use catalog::Name;
use eval::source::{
    Delegated, Done, LogSelection, Order, PageIter, PageSource, Said, SourceError, Visit, chained, visit,
};
use hidden::Hidden;
use logql::Options;
use model::{ByteSize, Horizon, Signal, TenantId, TimeRange};
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use transport::v1::slices_client::SlicesClient;
use transport::v1::{self, FoldLinesRequest, FoldReply, What, select_reply::Reply};
use transport::{Link, link::MAX_MESSAGE, rows};

/// Another querier is asked to look at that many rows or none.
const MANY: u64 = if cfg!(test) { 8 } else { 1 << 18 };

/// Objects that a query opens at one time.
const OPENED_AT_ONCE: usize = 16;

impl Parts {
    /// What of a tenant's row groups in some objects may have rows of a selection.
    fn pieces(
        &self,
        tenant: &TenantId,
        objects: &[String],
        selection: &logs::Selection,
        reading: &Arc<Reading>,
    ) -> Result<Vec<Piece>, QueryError> {
        // Those that are not open yet are opened side by side: where they are far away, that is most of the time.
        let far: Vec<&String> = objects.iter().filter(|name| !self.segments.has_logs(name, tenant)).collect();
        let open = |names: &[&String]| -> Result<Vec<_>, QueryError> {
            let opened = names.iter().map(|name| {
                reading.check()?;
                Ok(((*name).clone(), self.segments.logs(name, tenant)?))
            });
            opened.collect()
        };
        let opened = thread::scope(|scope| {
            let parts = far.chunks(far.len().div_ceil(OPENED_AT_ONCE).max(1));
            let opening: Vec<_> = parts.map(|names| scope.spawn(move || open(names))).collect();
            let opened = opening.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            opened.collect::<Result<Vec<_>, _>>()
        })?;
        let mut opened: HashMap<String, _> = opened.into_iter().flatten().collect();
        let mut pieces = Vec::with_capacity(objects.len());
        for name in objects {
            reading.check()?;
            let reader = match opened.remove(name) {
                Some(reader) => reader,
                None => self.segments.logs(name, tenant)?,
            };
            if let Some(reader) = reader {
                pieces.extend(Piece::of(name, reader.through(|sections| reading.of(sections)), selection));
            }
        }
        Ok(pieces)
    }
}

impl TenantRows {
    /// The heads' rows and the objects that a selection may have rows in, and what and how much is wanted of the latter.
    fn log_rows(&self, selection: &LogSelection) -> Result<(Snapshot, logs::Selection, Option<usize>), QueryError> {
        let LogSelection { matchers, contains, order, limit, horizon, .. } = selection;
        let newest = *order == Order::Backward;
        let range = self.kept.of(Signal::Logs, selection.range);
        // Without a limit, heads give what comes first in that order first.
        let in_order = |limit: Option<usize>| limit.or(horizon.as_ref().map(|_| usize::MAX));
        let question = self.question(What::Rows, matchers, range);
        // They go through, and are not held.
        let max_bytes = self.reading.left();
        let question =
            Question { signal: Signal::Logs, contains, limit: in_order(*limit), newest, max_bytes, ..question };
        let mut snapshot = self.snapshot(&question)?;
        let mut limit = *limit;
        if limit.is_some() && snapshot.hidden.may_touch(matchers) {
            // Lines that are hidden here would be missing from a limit.
            limit = None;
            snapshot = self.snapshot(&Question { limit: in_order(limit), ..question })?;
        }
        let wanted = self.wanted(selection, &snapshot.hidden);
        Ok((snapshot, wanted, limit))
    }

    /// What objects are asked for.
    fn wanted(&self, selection: &LogSelection, hidden: &Hidden) -> logs::Selection {
        let LogSelection { matchers, range, contains, lines, .. } = selection.clone();
        let lines = lines || self.levels || hidden.looks_at_lines();
        logs::Selection { matchers, range: self.kept.of(Signal::Logs, range), contains, lines }
    }

    fn telling(&self, selection: logs::Selection, hidden: Arc<Hidden>, apart: bool) -> Telling {
        Telling { selection, hidden, apart, levels: self.levels.then(|| self.limits.clone()) }
    }

    /// Pages of an object in the order of a selection, as far as it still wants them.
    fn ordered<'a>(
        &'a self,
        name: &str,
        wanted: &logs::Selection,
        order: Order,
        limit: Option<usize>,
        horizon: Option<&Horizon>,
    ) -> Result<PageIter<'a>, QueryError> {
        let Some(reader) = self.parts.segments.logs(name, &self.tenant)? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let reader = reader.through(|sections| self.reading.of(sections));
        let pages = match (limit, order, horizon) {
            (None, _, None) => reader.pages(wanted),
            (None, _, Some(horizon)) => reader.within(wanted, horizon),
            (Some(limit), Order::Forward, _) => reader.oldest(wanted, limit),
            (Some(limit), Order::Backward, _) => reader.newest(wanted, limit),
        };
        Ok(named(name, pages))
    }

    /// Has other queriers do a part of a query with some of the pieces; the rest is for this one.
    fn shared(&self, pieces: Vec<Piece>, range: TimeRange, work: &[u8]) -> (Vec<Piece>, Others<Vec<Piece>>) {
        let mut others = Others::none();
        let total: u64 = pieces.iter().map(Piece::weight).sum();
        let mut peers = self.parts.peers.all();
        peers.truncate((total / MANY).saturating_sub(1) as usize);
        if peers.is_empty() {
            return (pieces, others);
        }
        let ways = 1 + peers.len();
        // Whom the ring gives an object may do a quarter more than its share, for what it has in its cache.
        let most = total / ways as u64 * 5 / 4;
        let owner = |name: &str| match self.parts.peers.owner(name) {
            Some((owner, _)) => peers.iter().position(|(peer, _)| *peer == owner).map(|peer| 1 + peer),
            None => Some(0),
        };
        let mut parts = deal(pieces, ways, most, owner).into_iter();
        let own = parts.next().unwrap_or_default();
        for (part, (name, link)) in parts.zip(peers).filter(|(part, _)| !part.is_empty()) {
            let piece = |piece: &Piece| {
                let groups = piece.groups();
                v1::Piece { object: piece.name.to_string(), from: groups.start as u32, before: groups.end as u32 }
            };
            let request = FoldLinesRequest {
                tenant: self.tenant.to_string(),
                pieces: part.iter().map(piece).collect(),
                min_time: range.min,
                max_time: range.max,
                work: Bytes::copy_from_slice(work),
                max_bytes: self.reading.limit(),
                max_read: self.reading.left(),
            };
            others.ask(self, name, part, ask(link, request, self.reading.clone()));
        }
        (own, others)
    }
}

async fn ask(link: Link, request: FoldLinesRequest, reading: Arc<Reading>) -> Result<Said, QueryError> {
    let mut client = SlicesClient::new(link).max_decoding_message_size(MAX_MESSAGE);
    listen(client.fold_lines(request).await?.into_inner(), &reading).await
}

impl PageSource for TenantRows {
    fn select(&self, selection: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        // Whoever reads on from here is to meet all rows.
        let horizon = selection.horizon.clone().filter(|_| self.begun.is_none());
        let order = selection.order;
        let (mut snapshot, wanted, limit) = self.log_rows(selection)?;
        if order == Order::Backward {
            snapshot.objects.reverse();
        }
        // Objects are opened one by one, as the engine asks for more, and only if they still can have what it wants.
        let times: Vec<TimeRange> = snapshot.objects.iter().map(|name| snapshot.times(name, &self.tenant)).collect();
        let objects = snapshot.objects.into_iter().zip(times);
        let telling = self.telling(wanted.clone(), snapshot.hidden, false);
        let heads = pages_of_heads(snapshot.heads, horizon.clone());
        let segments = objects.flat_map(move |(name, times)| {
            if horizon.as_ref().is_some_and(|horizon| !horizon.clip(wanted.range).overlaps(times)) {
                return Box::new(std::iter::empty()) as PageIter<'_>;
            }
            match self.ordered(&name, &wanted, order, limit, horizon.as_ref()) {
                Ok(pages) => pages,
                Err(error) => Box::new(std::iter::once(Err(error.into()))) as PageIter<'_>,
            }
        });
        let pages: PageIter<'_> = match order {
            Order::Backward => Box::new(heads.chain(segments)),
            Order::Forward => Box::new(segments.chain(heads)),
        };
        Ok(telling.told(match &self.begun {
            Some(begun) => begun.noting(pages, limit),
            None => pages,
        }))
    }

    fn visits(&self, selection: &LogSelection, apart: bool, ways: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        let all = LogSelection { limit: None, horizon: None, ..selection.clone() };
        let (snapshot, wanted, _) = self.log_rows(&all)?;
        let pieces = self.parts.pieces(&self.tenant, &snapshot.objects, &wanted, &self.reading)?;
        let telling = self.telling(wanted, snapshot.hidden, apart);
        let mut runs = runs(pieces, ways.saturating_sub(1).max(1), &telling);
        runs.push(visit(telling.told(pages_of_heads(snapshot.heads, None))));
        Ok(if ways > 1 { runs } else { vec![chained(runs)] })
    }

    fn delegate(
        &self,
        selection: &LogSelection,
        apart: bool,
        work: &[u8],
    ) -> Result<Option<Delegated<'_, Visit<'_>>>, SourceError> {
        if self.levels || self.begun.is_some() {
            return Ok(None);
        }
        let range = self.kept.of(Signal::Logs, selection.range);
        let folded = self.reading.during(self.folded_lines(&selection.matchers, range, work));
        let Some((said, snapshot)) = self.runtime.block_on(folded)? else { return Ok(None) };
        let wanted = self.wanted(selection, &snapshot.hidden);
        let pieces = self.parts.pieces(&self.tenant, &snapshot.objects, &wanted, &self.reading)?;
        let (own, others) = self.shared(pieces, range, work);
        let telling = self.telling(wanted, snapshot.hidden, apart);
        let left = telling.clone();
        let here = move |ways| Ok(runs(own, ways, &telling));
        let elsewhere = move || {
            let (by_others, not_done) = others.done(self)?;
            let not_done = not_done.into_iter().flat_map(|part| runs(part, 1, &left)).map(Done::Left);
            Ok(said.into_iter().chain(by_others).map(Done::Said).chain(not_done).collect())
        };
        Ok(Some(Delegated { here: Some(Box::new(here)), elsewhere: Box::new(elsewhere) }))
    }
}

/// The pages of heads, of each until all that it would give next is beyond the horizon.
fn pages_of_heads<'a>(mut heads: HeadReplies, horizon: Option<Horizon>) -> PageIter<'a> {
    let is_beyond = move |reach: Option<i64>| match (&horizon, reach) {
        (Some(horizon), Some(reach)) if horizon.is_of_newest() => {
            horizon.clip(TimeRange::new(i64::MIN, reach)).is_empty()
        }
        (Some(horizon), Some(reach)) => horizon.clip(TimeRange::new(reach, i64::MAX)).is_empty(),
        _ => false,
    };
    Box::new(std::iter::from_fn(move || {
        loop {
            match heads.next()? {
                Ok(Reply::Logs(message)) if is_beyond(message.reach) => heads.leave(),
                Ok(Reply::Logs(message)) => {
                    heads.came(message.text.len() + message.metadata.iter().map(Bytes::len).sum::<usize>());
                    return Some(rows::read_log_rows(message).map_err(|e| QueryError::from(e).into()));
                }
                Ok(_) => {}
                Err(error) => return Some(Err(error.into())),
            }
        }
    }))
}

/// Row groups that another querier wants looked at.
struct Asked<'q> {
    parts: &'q Parts,
    tenant: TenantId,
    pieces: Vec<v1::Piece>,
    range: TimeRange,
    reading: Arc<Reading>,
    looked: Looked,
}

impl PageSource for Asked<'_> {
    fn select(&self, _: &LogSelection) -> Result<PageIter<'_>, SourceError> {
        Err(QueryError::bad("only what lines count for is computed for other queriers").into())
    }

    fn visits(&self, selection: &LogSelection, apart: bool, ways: usize) -> Result<Vec<Visit<'_>>, SourceError> {
        let LogSelection { matchers, range, contains, lines, .. } = selection.clone();
        let wanted = logs::Selection { matchers, range: range.intersect(self.range), contains, lines };
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for v1::Piece { object, from, before } in &self.pieces {
            let found = self.parts.pieces(&self.tenant, std::slice::from_ref(object), &wanted, &self.reading)?;
            pieces.extend(found.into_iter().filter_map(|piece| piece.within(*from as usize..*before as usize)));
        }
        let telling = Telling { selection: wanted, hidden: Arc::default(), apart, levels: None };
        let runs = runs(pieces, ways, &telling).into_iter();
        Ok(runs.map(|run| self.looked.counting(run, &self.reading)).collect())
    }
}

impl Querier {
    /// Does a part of a query of lines for another querier.
    pub(crate) fn answer_lines(&self, request: FoldLinesRequest, replies: &Replies) -> Result<(), QueryError> {
        let tenant = TenantId::new(&request.tenant).map_err(|e| QueryError::bad(e.to_string()))?;
        if let Some(strange) = request.pieces.iter().find(|piece| Name::parse(&piece.object).is_none()) {
            return Err(QueryError::bad(format!("{:?} is not the name of a segment or block", strange.object)));
        }
        let gone = replies.clone();
        let cancelled: Arc<dyn Fn() -> bool + Send + Sync> = Arc::new(move || gone.is_closed());
        let source = Asked {
            parts: &self.inner.parts,
            tenant,
            pieces: request.pieces,
            range: TimeRange::new(request.min_time, request.max_time),
            reading: Reading::new(ByteSize(request.max_bytes), ByteSize(request.max_read), cancelled.clone()),
            looked: Looked::default(),
        };
        let max_memory = usize::try_from(request.max_bytes).unwrap_or(usize::MAX);
        let spare = self.inner.compute.lender();
        let options = Options { max_memory, cancelled, spare, ..Options::default() };
        logql::fold(&source, &request.work, &options, &mut |message| replies.say(message))?;
        let Asked { looked, reading, .. } = source;
        let (pages, lines, bytes, read) = (looked.pages(), looked.lines(), looked.bytes(), reading.read());
        Ok(replies.send(FoldReply { pages, lines, bytes, read, ..FoldReply::default() })?)
    }
}
