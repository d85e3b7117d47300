//! S3's operations, as far as an object store client uses them; all others answer `NotImplemented`.
//!
//! Behaviour by Amazon's API reference: conditional writes answer 412 when the condition does not hold and 404 for
//! `If-Match` on a missing key; deletes succeed for missing keys; a completed or aborted upload is unknown.

use super::store::{Attributes, Condition, Listing, Object, Refusal, Store, digest};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::sync::Arc;

pub struct Operations(pub Arc<Store>);

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> S3Error {
        S3Error::new(match refusal {
            Refusal::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Refusal::NoSuchKey => S3ErrorCode::NoSuchKey,
            Refusal::NoSuchUpload => S3ErrorCode::NoSuchUpload,
            Refusal::PreconditionFailed => S3ErrorCode::PreconditionFailed,
            Refusal::BadDigest => S3ErrorCode::BadDigest,
            Refusal::InvalidPart => S3ErrorCode::InvalidPart,
            Refusal::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
            Refusal::EntityTooSmall => S3ErrorCode::EntityTooSmall,
            Refusal::MalformedXml => S3ErrorCode::MalformedXML,
            Refusal::InvalidArgument => S3ErrorCode::InvalidArgument,
        })
    }
}

type Answer<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn create_bucket(&self, request: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        self.0.create_bucket(&request.input.bucket);
        answer(CreateBucketOutput::default())
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.0.has_bucket(&request.input.bucket)?;
        answer(HeadBucketOutput::default())
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = request.input;
        let condition = condition(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let body = read(input.body, input.content_length, input.content_md5.as_deref()).await?;
        let attributes = Attributes { content_type: input.content_type, metadata: input.metadata };
        let etag = self.0.put(&input.bucket, &input.key, Object::new(body, attributes), &condition)?;
        answer(PutObjectOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() })
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> Answer<CopyObjectOutput> {
        let input = request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else { return Err(s3_error!(NotImplemented)) };
        let mut object = self.0.get(bucket, key)?;
        object.modified = std::time::SystemTime::now();
        let etag = self.0.put(&input.bucket, &input.key, object, &Condition::default())?;
        let result = CopyObjectResult { e_tag: Some(ETag::Strong(etag)), ..Default::default() };
        answer(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = request.input;
        let object = self.0.get(&input.bucket, &input.key)?;
        unchanged(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let whole = object.body.len() as u64;
        let (body, content_range) = match &input.range {
            None => (object.body.clone(), None),
            Some(range) => {
                let range = range.check(whole).map_err(|_| S3Error::new(S3ErrorCode::InvalidRange))?;
                let text = format!("bytes {}-{}/{whole}", range.start, range.end - 1);
                (object.body.slice(range.start as usize..range.end as usize), Some(text))
            }
        };
        answer(GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(body.len() as i64),
            content_range,
            body: Some(StreamingBlob::from(s3s::Body::from(body))),
            content_type: object.attributes.content_type,
            metadata: object.attributes.metadata,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        })
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = request.input;
        let object = self.0.get(&input.bucket, &input.key)?;
        unchanged(&object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        answer(HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some(object.body.len() as i64),
            content_type: object.attributes.content_type,
            metadata: object.attributes.metadata,
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        })
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        self.0.delete(&request.input.bucket, &[request.input.key])?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        if delete.objects.is_empty() || delete.objects.len() > 1000 {
            return Err(Refusal::MalformedXml.into());
        }
        let keys: Vec<String> = delete.objects.into_iter().map(|object| object.key).collect();
        self.0.delete(&bucket, &keys)?;
        let named = |key| DeletedObject { key: Some(key), ..Default::default() };
        let deleted = (!delete.quiet.unwrap_or(false)).then(|| keys.into_iter().map(named).collect());
        answer(DeleteObjectsOutput { deleted, ..Default::default() })
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let input = request.input;
        let listing = Listing {
            prefix: input.prefix.as_deref().unwrap_or_default(),
            delimiter: input.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty()),
            after: input.start_after.as_deref().unwrap_or_default(),
            token: input.continuation_token.as_deref().unwrap_or_default(),
            most: input.max_keys.map_or(1000, |keys| keys.max(0) as usize),
        };
        let page = self.0.list(&input.bucket, &listing)?;
        let count = page.objects.len() + page.prefixes.len();
        let object = |(key, object): (String, super::store::Object)| s3s::dto::Object {
            e_tag: Some(ETag::Strong(object.etag)),
            key: Some(key),
            last_modified: Some(object.modified.into()),
            size: Some(object.body.len() as i64),
            ..Default::default()
        };
        answer(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            max_keys: Some(listing_size(input.max_keys)),
            key_count: Some(count as i32),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            contents: Some(page.objects.into_iter().map(object).collect()),
            common_prefixes: Some(
                page.prefixes.into_iter().map(|prefix| CommonPrefix { prefix: Some(prefix) }).collect(),
            ),
            ..Default::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = request.input;
        let attributes = Attributes { content_type: input.content_type, metadata: input.metadata };
        let id = self.0.begin(&input.bucket, &input.key, attributes)?;
        answer(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            ..Default::default()
        })
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = request.input;
        let body = read(input.body, input.content_length, input.content_md5.as_deref()).await?;
        let etag = self.0.part(&input.bucket, &input.key, &input.upload_id, input.part_number, body)?;
        answer(UploadPartOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = request.input;
        let condition = condition(input.if_none_match.as_ref(), input.if_match.as_ref())?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let parts: Option<Vec<(i32, String)>> =
            parts.into_iter().map(|part| Some((part.part_number?, part.e_tag?.into_value()))).collect();
        let parts = parts.ok_or(Refusal::MalformedXml)?;
        let etag = self.0.complete(&input.bucket, &input.key, &input.upload_id, &parts, &condition)?;
        answer(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.0.abort(&request.input.bucket, &request.input.key, &request.input.upload_id)?;
        Ok(S3Response::with_status(AbortMultipartUploadOutput::default(), http::StatusCode::NO_CONTENT))
    }
}

fn listing_size(asked: Option<i32>) -> i32 {
    asked.unwrap_or(1000).clamp(0, 1000)
}

/// S3 knows `If-None-Match: *` only.
fn condition(none_match: Option<&ETagCondition>, matching: Option<&ETagCondition>) -> S3Result<Condition> {
    if none_match.is_some_and(|condition| !condition.is_any()) {
        return Err(s3_error!(NotImplemented, "If-None-Match takes * only"));
    }
    let matching = matching.map(|condition| condition.as_etag().map_or("*", ETag::value).to_owned());
    Ok(Condition { absent: none_match.is_some(), matching })
}

/// Whether a read may go on: 412 when `If-Match` does not hold, 304 when `If-None-Match` does not.
fn unchanged(object: &Object, matching: Option<&ETagCondition>, none_match: Option<&ETagCondition>) -> S3Result<()> {
    let same = |condition: &ETagCondition| condition.as_etag().is_none_or(|etag| etag.value() == object.etag);
    if matching.is_some_and(|condition| !same(condition)) {
        return Err(s3_error!(PreconditionFailed));
    }
    if none_match.is_some_and(same) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// Reads a body and holds it against what the client said of it.
async fn read(body: Option<StreamingBlob>, length: Option<i64>, md5: Option<&str>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(part) = body.next().await {
            bytes.extend_from_slice(&part.map_err(|_| S3Error::new(S3ErrorCode::IncompleteBody))?);
        }
    }
    if length.is_some_and(|length| length != bytes.len() as i64) {
        return Err(s3_error!(IncompleteBody));
    }
    if md5.is_some_and(|md5| md5 != base64(&digest(&bytes))) {
        return Err(Refusal::BadDigest.into());
    }
    Ok(bytes.freeze())
}

/// RFC 4648 with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_in_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
