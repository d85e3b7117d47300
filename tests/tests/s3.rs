//! The S3 server in memory keeps S3's contract as a real client sees it, and fails as it is told.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig, UpdateVersion,
};
use ouro_tests::s3::{ACCESS_KEY, BUCKET, Fault, Rule, S3, SECRET_KEY};
use std::time::Duration;

/// A client that repeats a failed request this many times, and does not wait long for an answer.
fn client(s3: &S3, retries: usize) -> AmazonS3 {
    client_within(s3, retries, Duration::from_millis(500))
}

fn client_within(s3: &S3, retries: usize, timeout: Duration) -> AmazonS3 {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(5), max_backoff: Duration::from_millis(20), base: 2.0 };
    let retry = RetryConfig { backoff, max_retries: retries, retry_timeout: Duration::from_secs(20) };
    AmazonS3Builder::new()
        .with_endpoint(&s3.url)
        .with_region("local")
        .with_bucket_name(BUCKET)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .with_virtual_hosted_style_request(false)
        .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(timeout))
        .with_retry(retry)
        .build()
        .expect("a client")
}

/// The store as Ouro's services open it.
fn patient(s3: &S3) -> objects::Store {
    let options = [
        ("endpoint", s3.url.as_str()),
        ("region", "local"),
        ("access_key_id", ACCESS_KEY),
        ("secret_access_key", SECRET_KEY),
        ("allow_http", "true"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = objects::Settings { url: format!("s3://{BUCKET}"), options, ..objects::Settings::default() };
    objects::Store::open(&settings, std::path::Path::new("/unused")).expect("opens")
}

fn path(key: &str) -> Path {
    Path::parse(key).expect("a path")
}

async fn bytes(store: &AmazonS3, key: &str) -> Result<Bytes, Error> {
    store.get(&path(key)).await?.bytes().await
}

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..Default::default() }
}

#[tokio::test]
async fn objects_are_kept() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    let key = path("a/b c+ä%/x.seg");
    let put = store.put(&key, Bytes::from("hello world").into()).await.expect("put");
    assert_eq!(put.e_tag.as_deref(), Some("\"5eb63bbbe01eeed093cb22bb8f5acdc3\""), "the MD5 of the body");
    let got = store.get(&key).await.expect("get");
    assert_eq!((got.meta.size, &got.meta.e_tag), (11, &put.e_tag));
    assert_eq!(got.bytes().await.expect("bytes"), "hello world");
    let head = store.head(&key).await.expect("head");
    assert_eq!((head.size, head.e_tag), (11, put.e_tag.clone()));
    assert!((head.last_modified.timestamp() - now()).abs() < 5);
    assert_eq!(s3.object(BUCKET, "a/b c+ä%/x.seg").as_deref(), Some(&b"hello world"[..]));
    store.put(&path("empty"), Bytes::new().into()).await.expect("put");
    assert_eq!(bytes(&store, "empty").await.expect("get"), "");
    store.copy(&key, &path("copied")).await.expect("copy");
    assert_eq!(bytes(&store, "copied").await.expect("get"), "hello world");
    store.delete(&key).await.expect("delete");
    store.delete(&key).await.expect("deleting what is gone succeeds");
    assert!(matches!(store.get(&key).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.head(&key).await, Err(Error::NotFound { .. })));
    let many: Vec<_> = ["empty", "copied", "absent"].map(|key| Ok(path(key))).into();
    let deleted: Vec<_> = store.delete_stream(futures::stream::iter(many).boxed()).collect().await;
    assert!(deleted.len() == 3 && deleted.iter().all(Result::is_ok), "{deleted:?}");
    assert!(s3.keys(BUCKET).is_empty());
}

#[tokio::test]
async fn ranges_are_cut() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    store.put(&path("k"), Bytes::from("0123456789").into()).await.expect("put");
    for (range, want) in [(0..10, "0123456789"), (0..1, "0"), (3..7, "3456"), (9..10, "9"), (8..99, "89")] {
        assert_eq!(store.get_range(&path("k"), range.clone()).await.expect("get"), want, "{range:?}");
    }
    assert!(store.get_range(&path("k"), 10..12).await.is_err(), "416 past the end");
    let suffix = GetOptions { range: Some(object_store::GetRange::Suffix(3)), ..Default::default() };
    let got = store.get_opts(&path("k"), suffix).await.expect("get");
    assert_eq!((got.range.clone(), got.bytes().await.expect("bytes")), (7..10, Bytes::from("789")));
    let from = GetOptions { range: Some(object_store::GetRange::Offset(4)), ..Default::default() };
    assert_eq!(store.get_opts(&path("k"), from).await.expect("get").bytes().await.expect("bytes"), "456789");
    assert!(s3.take_requests().iter().any(|request| request.method == "GET" && request.range == "bytes=3-6"));
}

#[tokio::test]
async fn conditions_hold() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    let key = path("k");
    let put = |options: PutOptions, body: &'static str| store.put_opts(&key, Bytes::from(body).into(), options);
    let first = put(create(), "one").await.expect("created");
    assert!(matches!(put(create(), "two").await, Err(Error::AlreadyExists { .. })));
    let update = |etag: Option<String>| PutOptions {
        mode: PutMode::Update(UpdateVersion { e_tag: etag, version: None }),
        ..Default::default()
    };
    let second = put(update(first.e_tag.clone()), "two").await.expect("updated");
    assert!(matches!(put(update(first.e_tag.clone()), "three").await, Err(Error::Precondition { .. })));
    assert_eq!(bytes(&store, "k").await.expect("get"), "two");
    let gone = store.put_opts(&path("absent"), Bytes::from("x").into(), update(second.e_tag.clone())).await;
    assert!(gone.is_err() && s3.object(BUCKET, "absent").is_none());
    let read = |matching: Option<String>, none_match: Option<String>| {
        store.get_opts(&key, GetOptions { if_match: matching, if_none_match: none_match, ..Default::default() })
    };
    assert!(read(second.e_tag.clone(), None).await.is_ok());
    assert!(matches!(read(first.e_tag.clone(), None).await, Err(Error::Precondition { .. })));
    assert!(matches!(read(None, second.e_tag).await, Err(Error::NotModified { .. })));
    assert!(read(None, first.e_tag).await.is_ok());
    s3.set_conditions(false);
    put(create(), "overwritten").await.expect("a store without conditions overwrites");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creators_one_wins() {
    let s3 = S3::start();
    let store = std::sync::Arc::new(client(&s3, 0));
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = std::sync::Arc::clone(&store);
        racers.spawn(async move {
            store.put_opts(&path("k"), Bytes::from(format!("{number}")).into(), create()).await.is_ok()
        });
    }
    assert_eq!(racers.join_all().await.into_iter().filter(|won| *won).count(), 1);
}

#[tokio::test]
async fn listings_are_paged() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    let keys = ["a/1", "a/2", "a/b/3", "a/b/4", "a/c/5", "b/6", "b7", "c"];
    for key in keys {
        store.put(&path(key), Bytes::from(key).into()).await.expect("put");
    }
    for page in [1, 2, 3, 1000] {
        s3.set_page(page);
        let list = async |prefix: Option<&str>| -> Vec<String> {
            let found: Vec<_> = store.list(prefix.map(path).as_ref()).try_collect().await.expect("list");
            found.into_iter().map(|meta| meta.location.to_string()).collect()
        };
        assert_eq!(list(None).await, keys, "{page} keys a page");
        assert_eq!(list(Some("a/b")).await, ["a/b/3", "a/b/4"]);
        assert!(list(Some("zz")).await.is_empty());
        let found = store.list_with_delimiter(Some(&path("a"))).await.expect("list");
        assert_eq!(found.common_prefixes, [path("a/b"), path("a/c")], "{page} keys a page");
        assert_eq!(found.objects.iter().map(|meta| meta.location.to_string()).collect::<Vec<_>>(), ["a/1", "a/2"]);
        let after: Vec<_> = store.list_with_offset(None, &path("a/b/4")).try_collect().await.expect("list");
        assert_eq!(after.iter().map(|meta| meta.location.as_ref()).collect::<Vec<_>>(), ["a/c/5", "b/6", "b7", "c"]);
    }
}

#[tokio::test]
async fn uploads_in_parts_appear_as_a_whole() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    let part = |letter: u8, len: usize| Bytes::from(vec![letter; len]);
    let mut upload = store.put_multipart(&path("big")).await.expect("begun");
    upload.put_part(part(b'a', 5 << 20).into()).await.expect("part");
    upload.put_part(part(b'b', 7).into()).await.expect("part");
    assert_eq!((s3.keys(BUCKET).len(), s3.open_uploads()), (0, 1));
    let put = upload.complete().await.expect("completed");
    assert!(put.e_tag.is_some_and(|etag| etag.ends_with("-2\"")));
    let got = bytes(&store, "big").await.expect("get");
    assert_eq!((got.len(), &got[(5 << 20) - 1..(5 << 20) + 1]), ((5 << 20) + 7, &b"ab"[..]));
    let mut upload = store.put_multipart(&path("small parts")).await.expect("begun");
    upload.put_part(part(b'a', 100).into()).await.expect("part");
    upload.put_part(part(b'b', 100).into()).await.expect("part");
    let refused = upload.complete().await.expect_err("too small").to_string();
    assert!(refused.contains("EntityTooSmall"), "{refused}");
    upload.abort().await.expect("aborted");
    assert_eq!((s3.keys(BUCKET), s3.open_uploads()), (vec!["big".to_owned()], 0));
    let mut upload = store.put_multipart(&path("x")).await.expect("begun");
    upload.put_part(part(b'a', 1).into()).await.expect("part");
    upload.complete().await.expect("one part may be small");
}

#[tokio::test]
async fn strangers_are_refused() {
    let s3 = S3::start();
    let stranger = AmazonS3Builder::new().with_endpoint(&s3.url).with_region("local").with_allow_http(true);
    let wrong =
        stranger.clone().with_bucket_name(BUCKET).with_access_key_id(ACCESS_KEY).with_secret_access_key("wrong");
    let wrong = wrong.build().expect("a client");
    assert!(wrong.put(&path("k"), Bytes::from("x").into()).await.is_err());
    let unsigned = stranger.clone().with_bucket_name(BUCKET).with_skip_signature(true).build().expect("a client");
    assert!(unsigned.get(&path("k")).await.is_err());
    let elsewhere =
        stranger.with_bucket_name("other").with_access_key_id(ACCESS_KEY).with_secret_access_key(SECRET_KEY);
    let error = elsewhere
        .build()
        .expect("a client")
        .put(&path("k"), Bytes::from("x").into())
        .await
        .expect_err("no such bucket");
    assert!(format!("{error:?}").contains("NoSuchBucket"), "{error:?}");
    assert!(s3.keys(BUCKET).is_empty());
}

/// Puts a key under a fault: whether the client sees success, and whether the object is there.
async fn check(fault: Fault, times: u32, retries: usize, want: (bool, bool)) {
    let s3 = S3::start();
    s3.inject(Rule::on("PUT", fault).times(times));
    let store = client(&s3, retries);
    let put = store.put_opts(&path("k"), Bytes::from("x").into(), create()).await;
    let found = (put.is_ok(), s3.object(BUCKET, "k").is_some());
    assert_eq!(found, want, "{fault:?} {times} times, {retries} retries: {put:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_as_told() {
    for fault in [Fault::SlowDown, Fault::Unavailable, Fault::Internal] {
        check(fault, 1, 0, (false, false)).await;
        check(fault, 2, 3, (true, true)).await;
    }
    check(Fault::Hang, 1, 0, (false, false)).await;
    for fault in [Fault::DoneThenHang, Fault::DoneThenInternal, Fault::DoneThenCut] {
        // The failure that hurts: the client must find out by itself that its write has happened.
        check(fault, 1, 0, (false, true)).await;
    }
    check(Fault::Latency(Duration::from_millis(100)), 1, 0, (true, true)).await;
    check(Fault::Latency(Duration::from_secs(5)), 1, 0, (false, false)).await;
}

#[tokio::test]
async fn rules_choose_their_requests() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    s3.inject(Rule::on("PUT", Fault::Internal).where_contains("/segments/").after(1).times(2));
    let mut results = Vec::new();
    for key in ["segments/0", "other", "segments/1", "segments/2", "segments/3"] {
        results.push(store.put(&path(key), Bytes::from("x").into()).await.is_ok());
    }
    assert_eq!(results, [true, true, false, false, true]);
    s3.inject(Rule::always(Fault::SlowDown));
    assert!(store.head(&path("other")).await.is_err());
    s3.heal();
    assert!(store.head(&path("other")).await.is_ok());
}

#[tokio::test]
async fn answers_are_cut_short() {
    let s3 = S3::start();
    let store = client(&s3, 0);
    store.put(&path("k"), Bytes::from(vec![7; 100_000]).into()).await.expect("put");
    for len in [0, 1, 50_000] {
        s3.inject(Rule::on("GET", Fault::Truncate(len)).times(1));
        let got = bytes(&store, "k").await;
        assert!(got.is_err(), "cut after {len}: {:?}", got.map(|body| body.len()));
    }
    assert_eq!(bytes(&store, "k").await.expect("get").len(), 100_000);
    s3.replace(BUCKET, "k", "damaged");
    assert_eq!(bytes(&store, "k").await.expect("get"), "damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_means_no_answer_at_all() {
    let s3 = S3::start();
    // Waits far longer than any machine takes to hear that a connection was cut.
    let store = client_within(&s3, 0, Duration::from_secs(60));
    store.put(&path("k"), Bytes::from("x").into()).await.expect("put");
    s3.set_away(true);
    let error = format!("{:?}", bytes(&store, "k").await.expect_err("away"));
    assert!(!error.contains("kind: Timeout"), "cut at once: {error}");
    let back = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        s3.set_away(false);
    };
    let patient = patient(&s3);
    let (got, ()) = tokio::join!(patient.get("k"), back);
    assert_eq!(got.expect("back"), "x");
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("after 1970").as_secs() as i64
}
