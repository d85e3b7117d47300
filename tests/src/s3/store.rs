//! The objects: maps behind one lock, so that every operation is atomic.

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The least size of a part that is not the last.
const LEAST_PART: usize = 5 << 20;
const PAGE: usize = 1000;

/// Buckets with their objects and unfinished uploads.
pub struct Store {
    buckets: Mutex<BTreeMap<String, Bucket>>,
    uploads: AtomicU64,
    conditions: AtomicBool,
    page: AtomicUsize,
    least_part: AtomicUsize,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Clone)]
pub struct Object {
    pub body: Bytes,
    /// Without quotes.
    pub etag: String,
    pub modified: SystemTime,
    pub attributes: Attributes,
}

/// What a client says of an object beside its bytes.
#[derive(Clone, Default)]
pub struct Attributes {
    pub content_type: Option<String>,
    pub metadata: Option<s3s::dto::Metadata>,
}

struct Upload {
    key: String,
    attributes: Attributes,
    parts: BTreeMap<i32, Part>,
}

#[derive(Clone)]
struct Part {
    body: Bytes,
    md5: [u8; 16],
}

/// Under which condition to write.
#[derive(Clone, Default)]
pub struct Condition {
    /// `If-None-Match: *`
    pub absent: bool,
    /// `If-Match`, an ETag without quotes or `*`.
    pub matching: Option<String>,
}

/// Why an operation is refused, by S3's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal {
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PreconditionFailed,
    BadDigest,
    InvalidPart,
    InvalidPartOrder,
    EntityTooSmall,
    MalformedXml,
    InvalidArgument,
}

/// What to list.
pub struct Listing<'a> {
    pub prefix: &'a str,
    pub delimiter: Option<&'a str>,
    /// List keys after this one; a common prefix of such keys may come before it.
    pub after: &'a str,
    /// Go on after this key or common prefix, the last of the page before.
    pub token: &'a str,
    pub most: usize,
}

/// A part of a listing.
#[derive(Default)]
pub struct Page {
    pub objects: Vec<(String, Object)>,
    pub prefixes: Vec<String>,
    /// Where to go on, if there is more.
    pub next: Option<String>,
}

impl Store {
    pub fn new(bucket: &str) -> Store {
        Store {
            buckets: Mutex::new(BTreeMap::from([(bucket.to_owned(), Bucket::default())])),
            uploads: AtomicU64::new(0),
            conditions: AtomicBool::new(true),
            page: AtomicUsize::new(PAGE),
            least_part: AtomicUsize::new(LEAST_PART),
        }
    }

    pub fn set_conditions(&self, honoured: bool) {
        self.conditions.store(honoured, SeqCst);
    }

    pub fn set_page(&self, keys: usize) {
        self.page.store(keys.clamp(1, PAGE), SeqCst);
    }

    pub fn set_least_part(&self, bytes: usize) {
        self.least_part.store(bytes, SeqCst);
    }

    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.lock().get(bucket).map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.get(bucket, key).ok().map(|object| object.body)
    }

    pub fn replace(&self, bucket: &str, key: &str, body: Bytes) {
        let object = Object::new(body, Attributes::default());
        self.lock().entry(bucket.to_owned()).or_default().objects.insert(key.to_owned(), object);
    }

    pub fn open_uploads(&self) -> usize {
        self.lock().values().map(|bucket| bucket.uploads.len()).sum()
    }

    pub fn create_bucket(&self, bucket: &str) {
        self.lock().entry(bucket.to_owned()).or_default();
    }

    pub fn has_bucket(&self, bucket: &str) -> Result<(), Refusal> {
        self.with(bucket, |_| Ok(()))
    }

    pub fn get(&self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        self.with(bucket, |bucket| bucket.objects.get(key).cloned().ok_or(Refusal::NoSuchKey))
    }

    /// Gives the ETag.
    pub fn put(&self, bucket: &str, key: &str, object: Object, condition: &Condition) -> Result<String, Refusal> {
        self.with(bucket, |bucket| {
            self.check(bucket, key, condition)?;
            let etag = object.etag.clone();
            bucket.objects.insert(key.to_owned(), object);
            Ok(etag)
        })
    }

    /// Deleting what is not there succeeds.
    pub fn delete(&self, bucket: &str, keys: &[String]) -> Result<(), Refusal> {
        self.with(bucket, |bucket| {
            keys.iter().for_each(|key| drop(bucket.objects.remove(key)));
            Ok(())
        })
    }

    pub fn list(&self, bucket: &str, listing: &Listing<'_>) -> Result<Page, Refusal> {
        let most = listing.most.min(self.page.load(SeqCst));
        self.with(bucket, |bucket| {
            let mut page = Page::default();
            let mut last = String::new();
            for (key, object) in &bucket.objects {
                let Some(rest) = key.strip_prefix(listing.prefix) else { continue };
                let common = listing.delimiter.and_then(|delimiter| {
                    rest.find(delimiter).map(|at| &key[..listing.prefix.len() + at + delimiter.len()])
                });
                let name = common.unwrap_or(key);
                let seen = key.as_str() <= listing.after || name <= listing.token;
                if seen || page.prefixes.last().is_some_and(|known| known == name) {
                    continue;
                }
                if page.objects.len() + page.prefixes.len() == most {
                    // S3 gives an empty answer without a token when it is asked for no keys.
                    page.next = (most > 0).then_some(last);
                    break;
                }
                match common {
                    Some(prefix) => page.prefixes.push(prefix.to_owned()),
                    None => page.objects.push((key.clone(), object.clone())),
                }
                last = name.to_owned();
            }
            Ok(page)
        })
    }

    /// Gives the id of the upload.
    pub fn begin(&self, bucket: &str, key: &str, attributes: Attributes) -> Result<String, Refusal> {
        let id = format!("upload-{}", self.uploads.fetch_add(1, SeqCst));
        self.with(bucket, |bucket| {
            let upload = Upload { key: key.to_owned(), attributes, parts: BTreeMap::new() };
            bucket.uploads.insert(id.clone(), upload);
            Ok(id.clone())
        })
    }

    /// Gives the part's ETag. A part that is sent again replaces the former one.
    pub fn part(&self, bucket: &str, key: &str, id: &str, number: i32, body: Bytes) -> Result<String, Refusal> {
        if !(1..=10_000).contains(&number) {
            return Err(Refusal::InvalidArgument);
        }
        let md5 = digest(&body);
        self.with(bucket, |bucket| {
            let upload = bucket.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or(Refusal::NoSuchUpload)?;
            upload.parts.insert(number, Part { body, md5 });
            Ok(hex(&md5))
        })
    }

    /// Joins the parts, given by number and ETag. A refused upload stays open.
    pub fn complete(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
        wanted: &[(i32, String)],
        condition: &Condition,
    ) -> Result<String, Refusal> {
        let least = self.least_part.load(SeqCst);
        self.with(bucket, |bucket| {
            let upload = bucket.uploads.get(id).filter(|upload| upload.key == key).ok_or(Refusal::NoSuchUpload)?;
            if wanted.is_empty() {
                return Err(Refusal::MalformedXml);
            }
            if !wanted.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(Refusal::InvalidPartOrder);
            }
            let find = |(number, etag): &(i32, String)| {
                upload.parts.get(number).filter(|part| hex(&part.md5) == *etag).cloned().ok_or(Refusal::InvalidPart)
            };
            let parts: Vec<Part> = wanted.iter().map(find).collect::<Result<_, _>>()?;
            if parts[..parts.len() - 1].iter().any(|part| part.body.len() < least) {
                return Err(Refusal::EntityTooSmall);
            }
            self.check(bucket, key, condition)?;
            let mut body = BytesMut::new();
            parts.iter().for_each(|part| body.extend_from_slice(&part.body));
            let digests: Vec<u8> = parts.iter().flat_map(|part| part.md5).collect();
            let etag = format!("{}-{}", hex(&digest(&digests)), parts.len());
            let attributes = upload.attributes.clone();
            let object = Object { body: body.freeze(), etag: etag.clone(), modified: SystemTime::now(), attributes };
            bucket.uploads.remove(id);
            bucket.objects.insert(key.to_owned(), object);
            Ok(etag)
        })
    }

    pub fn abort(&self, bucket: &str, key: &str, id: &str) -> Result<(), Refusal> {
        self.with(bucket, |bucket| {
            bucket.uploads.get(id).filter(|upload| upload.key == key).ok_or(Refusal::NoSuchUpload)?;
            bucket.uploads.remove(id);
            Ok(())
        })
    }

    fn check(&self, bucket: &Bucket, key: &str, condition: &Condition) -> Result<(), Refusal> {
        if !self.conditions.load(SeqCst) {
            return Ok(());
        }
        let known = bucket.objects.get(key);
        if condition.absent && known.is_some() {
            return Err(Refusal::PreconditionFailed);
        }
        match (&condition.matching, known) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Refusal::NoSuchKey),
            (Some(etag), Some(known)) if *etag == known.etag || etag == "*" => Ok(()),
            (Some(_), Some(_)) => Err(Refusal::PreconditionFailed),
        }
    }

    fn with<T>(&self, bucket: &str, action: impl FnOnce(&mut Bucket) -> Result<T, Refusal>) -> Result<T, Refusal> {
        self.lock().get_mut(bucket).ok_or(Refusal::NoSuchBucket).and_then(action)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object {
    pub fn new(body: Bytes, attributes: Attributes) -> Object {
        Object { etag: hex(&digest(&body)), body, modified: SystemTime::now(), attributes }
    }
}

pub fn digest(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
