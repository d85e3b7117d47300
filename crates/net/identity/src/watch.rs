//! Takes over new certificates while the process runs.

use crate::files::Files;
use crate::identity::Identity;
use crate::loaded::Loaded;
use std::pin::pin;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

/// What a look at the files found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// They are what new connections use already.
    Same,
    /// They changed, and new connections use them from now on.
    Loaded,
    /// They changed and cannot be used. They may be half-written, so the next look decides.
    Torn,
    /// They cannot be used, also at the second look. New connections use what they used before.
    Refused,
}

/// What earlier looks found.
pub(crate) struct Watched {
    loaded: Files,
    /// Files that could not be used; `None` inside if they could not even be read.
    bad: Option<(Option<Files>, Look)>,
}

impl Watched {
    pub(crate) fn new(loaded: Files) -> Watched {
        Watched { loaded, bad: None }
    }

    /// Whether bad files are new (`Torn`), here for the second time (`Refused`, to be said), or known.
    fn bad(&mut self, files: Option<Files>) -> (Look, bool) {
        let (look, news) = match &self.bad {
            Some((known, look)) if *known == files => (Look::Refused, *look == Look::Torn),
            _ => (Look::Torn, false),
        };
        self.bad = Some((files, look));
        (look, news)
    }
}

impl Identity {
    /// Looks at the files every `tls.reload` until `stopping` resolves, and takes over what changed. What cannot be
    /// used is refused and logged once for each change.
    pub async fn watch(&self, stopping: impl Future<Output = ()>) {
        let mut stopping = pin!(stopping);
        loop {
            tokio::select! {
                () = &mut stopping => return,
                () = tokio::time::sleep(self.inner().settings.reload) => {}
            }
            // Reading and checking would hold up the connections of this thread.
            let identity = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || identity.look()).await {
                match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends.
                    Err(_) => return,
                }
            }
        }
    }

    /// Looks at the files once, now. Blocks for their reading and checking, about a millisecond.
    pub fn look(&self) -> Look {
        let inner = self.inner();
        let mut watched = inner.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let (files, error) = match Files::read(&inner.settings) {
            Ok(files) if files == watched.loaded => {
                watched.bad = None;
                return Look::Same;
            }
            // Bad files are tried again at each look: a certificate may become valid, or an authority known, by time.
            Ok(files) => match Loaded::new(&files, &inner.names, &inner.own) {
                Ok(loaded) => {
                    tracing::info!(member = %loaded.own, "took over new certificates");
                    inner.current.store(loaded.into());
                    inner.reloads.fetch_add(1, Relaxed);
                    *watched = Watched::new(files);
                    return Look::Loaded;
                }
                Err(error) => (Some(files), error),
            },
            Err(error) => (None, error),
        };
        let (look, news) = watched.bad(files);
        if news {
            inner.failed_reloads.fetch_add(1, Relaxed);
            tracing::error!(%error, "new certificates are refused, the ones before stay in use");
        }
        look
    }
}
