//! Finds who was close: first the person's own check-ins of the day, then everybody else's around them.
//!
//! There is no index by person or place: the day is read, 1 MB (some 3000 check-ins) at a time. A request reads at
//! most [`MAX_READS`] such parts and then answers with what it has and a cursor, see [`crate::cursor`]. An ordinary
//! day takes two or three, so the first page is mostly the last.

use api::cursor::foreign;
use api::model::Registration;
use api::problem::Failure;
use api::store::{Consistency, Store, Stretch};

use crate::cursor::{GROUP, Key, Progress};
use crate::question::{Question, folded};
use crate::visits::{Contact, Visits};

/// So many stretches of the day a request reads at most. The person's own check-ins that a cursor names are read
/// besides, one by one: at most [`GROUP`], and some hundred bytes each.
pub(crate) const MAX_READS: usize = 12;

/// One page of the answer.
pub(crate) struct Page {
    /// In the order of time; there can be fewer than asked for, even none, with more to come.
    pub(crate) contacts: Vec<Contact>,
    /// Where the next page goes on; `None` at the end.
    pub(crate) next: Option<Progress>,
}

/// A request at work.
struct Search<'a, S> {
    question: &'a Question,
    now: i64,
    store: &'a S,
    reads_left: usize,
    /// What is known of the person: their check-ins that are dealt with now.
    own: Vec<Registration>,
    progress: Progress,
}

/// The next page.
pub(crate) async fn page<S: Store>(question: &Question, now: i64, store: &S) -> Result<Page, Failure> {
    let progress = question.progress.clone();
    let mut search = Search { question, now, store, reads_left: MAX_READS, own: Vec::new(), progress };
    search.recall().await?;
    search.look().await?;
    search.list().await
}

impl<S: Store> Search<'_, S> {
    /// Reads the check-ins that the cursor names. One that is gone by now counts no longer.
    async fn recall(&mut self) -> Result<(), Failure> {
        for key in std::mem::take(&mut self.progress.visits) {
            let day = self.question.day;
            let visit = Stretch::single(day, &key.sort_key(day), self.now);
            let found = self.store.stretch(&visit, Consistency::Eventual).await?;
            for visit in found.items {
                if folded(&visit.email) != self.question.email {
                    return Err(foreign().into());
                }
                self.progress.visits.push(key);
                self.own.push(visit);
            }
        }
        Ok(())
    }

    /// Looks for the person's check-ins: to the end of the day, of the group, or of what may be read.
    async fn look(&mut self) -> Result<(), Failure> {
        let (day, begun) = (self.question.day, self.progress.listed.is_some());
        while !begun && !self.progress.seen_all && self.own.len() < GROUP && self.reads_left > 0 {
            self.reads_left -= 1;
            let stretch = Stretch::whole(day, self.now);
            let stretch = match &self.progress.looked {
                Some(looked) => stretch.behind(&looked.sort_key(day)),
                None => stretch,
            };
            let read = self.store.stretch(&stretch, Consistency::Eventual).await?;
            self.progress.looked = read.next.as_deref().and_then(|next| Key::of(next, day));
            self.progress.seen_all = self.progress.looked.is_none();
            for visit in read.items.into_iter().filter(|row| folded(&row.email) == self.question.email) {
                let Some(key) = Key::of(&visit.sort_key(), day) else { continue };
                if self.own.len() == GROUP {
                    // One more than fits: the next group begins behind the last that does.
                    self.progress.looked = self.progress.visits.last().copied();
                    self.progress.seen_all = false;
                    break;
                }
                self.progress.visits.push(key);
                self.own.push(visit);
            }
        }
        Ok(())
    }

    /// Lists who was close to the check-ins that were found, once all of the group are.
    async fn list(mut self) -> Result<Page, Failure> {
        let mut contacts = Vec::new();
        if self.progress.listed.is_none() && !self.progress.seen_all && self.own.len() < GROUP {
            return Ok(Page { contacts, next: Some(self.progress) });
        }
        let (day, window) = (self.question.day, self.question.window_micros());
        let visits = Visits::of(&self.own);
        for (from, to) in visits.spans(window, day) {
            let end = Key::end_of(to, day);
            let places = visits.places();
            let mut stretch = Stretch { places, ..Stretch::between(day, from, to, self.now) };
            match &self.progress.listed {
                Some(listed) if end.is_some_and(|end| end <= *listed) => continue,
                Some(listed) if listed.moment(day) >= from => stretch = stretch.behind(&listed.sort_key(day)),
                _ => {}
            }
            loop {
                if self.reads_left == 0 {
                    return Ok(Page { contacts, next: Some(self.progress) });
                }
                self.reads_left -= 1;
                let read = self.store.stretch(&stretch, Consistency::Eventual).await?;
                for other in read.items {
                    if folded(&other.email) == self.question.email {
                        continue;
                    }
                    let Some(contact) = visits.contact(&other, window) else { continue };
                    if contacts.len() == self.question.limit {
                        // One more than fits: the page ends behind the last that does.
                        return Ok(Page { contacts, next: Some(self.progress) });
                    }
                    contacts.push(contact);
                    self.progress.listed = Key::of(&other.sort_key(), day);
                }
                let Some(next) = read.next else { break };
                self.progress.listed = Key::of(&next, day);
                stretch = stretch.behind(&next);
            }
            self.progress.listed = end;
        }
        // This group is done; the next one is looked for by the next request, so that every page is sorted.
        let rest = Progress { looked: self.progress.looked, ..Progress::default() };
        Ok(Page { contacts, next: (!self.progress.seen_all).then_some(rest) })
    }
}
