//! The text of a row.

use super::field;
use super::stream::{Content, Stream};
use super::words::{AGENTS, ERRORS, FILES, FUNCTIONS, Framework, LOGGERS, PACKAGES, Service};
use crate::draft::Draft;
use crate::seed::{Ids, Rng};
use std::fmt::{Arguments, Write};

/// Writes the line of a row; `rng` decides everything but the holes.
pub fn write(out: &mut Draft, rng: &mut Rng, stream: &Stream, row: u32) {
    let mut line = Line { out, rng, service: stream.service, row };
    match stream.content {
        Content::Access { class } => line.access(class),
        Content::App(Framework::Django) => line.django(),
        Content::App(Framework::Structlog) => line.structlog(),
        Content::App(Framework::Celery) => line.celery(),
    }
}

struct Line<'a> {
    out: &'a mut Draft,
    rng: &'a mut Rng,
    service: &'static Service,
    row: u32,
}

impl Line<'_> {
    fn put(&mut self, text: Arguments<'_>) {
        self.out.write_fmt(text).expect("a draft takes any text");
    }

    fn hole(&mut self, what: u8, len: usize) {
        self.out.hole(self.row, what, len);
    }

    fn id(&mut self) {
        self.hole(field::ID, Ids::LEN);
    }

    fn access(&mut self, class: u64) {
        let (path, method) = self.path();
        let status = self.status(class);
        let (client, port) = (self.client(), 1024 + self.rng.below(64_000));
        let size = if class == 3 { 0 } else { 200 + (self.rng.skewed(1000) * self.rng.skewed(1000)) as u64 };
        let overhead = 20_000 + self.rng.below(400_000);
        let received = if method == "POST" { self.rng.below(90_000) } else { 0 };
        let (count, protocol) = (self.rng.below(90_000_000), self.rng.pick(&["HTTP/1.1", "HTTP/2.0", "HTTP/2.0"]));
        let agent = AGENTS[self.rng.skewed(AGENTS.len())];
        let Service { namespace, name, host, .. } = *self.service;
        let backend = format!("10.244.{}.{}:8000", self.rng.skewed(24), 2 + self.rng.skewed(250));
        self.put(format_args!(
            "{{\"ClientAddr\":\"{client}:{port}\",\"ClientHost\":\"{client}\",\"ClientPort\":\"{port}\",\
             \"ClientUsername\":\"-\",\"DownstreamContentSize\":{size},\"DownstreamStatus\":{status},\"Duration\":"
        ));
        self.hole(field::DURATION, 8);
        self.put(format_args!(
            ",\"OriginContentSize\":{size},\"OriginStatus\":{status},\"Overhead\":{overhead},\"RequestAddr\":\"{host}\",\
             \"RequestContentSize\":{received},\"RequestCount\":{count},\"RequestHost\":\"{host}\",\
             \"RequestMethod\":\"{method}\",\"RequestPath\":\"{path}\",\"RequestPort\":\"-\",\
             \"RequestProtocol\":\"{protocol}\",\"RequestScheme\":\"https\",\"RetryAttempts\":0,\
             \"RouterName\":\"websecure-{namespace}-{name}@kubernetes\",\"ServiceAddr\":\"{backend}\",\
             \"ServiceName\":\"{namespace}-{name}-8000@kubernetes\",\"ServiceURL\":\"http://{backend}\",\"StartUTC\":\""
        ));
        self.hole(field::START, TIME_LEN);
        self.put(format_args!(
            "\",\"TLSCipher\":\"TLS_AES_128_GCM_SHA256\",\"TLSVersion\":\"1.3\",\"entryPointName\":\"websecure\",\
             \"level\":\"info\",\"msg\":\"\",\"request_User-Agent\":\"{agent}\",\"request_X-Request-Id\":\""
        ));
        self.id();
        self.put(format_args!("\",\"time\":\""));
        self.hole(field::TIME, TIME_LEN);
        self.put(format_args!("\"}}"));
    }

    fn django(&mut self) {
        let (path, method) = self.path();
        let (kind, spent) = (self.rng.below(100), self.rng.below(900));
        self.put(format_args!("["));
        self.hole(field::PYTHON_TIME, PYTHON_TIME_LEN);
        match kind {
            0..2 => {
                self.put(format_args!("] ERROR django.request: Internal Server Error: {path} request_id="));
                self.id();
                self.traceback();
            }
            2..12 => {
                self.put(format_args!("] WARNING django.request: Not Found: {path} request_id="));
                self.id();
            }
            12..30 => {
                let user = self.rng.skewed(900_000);
                self.put(format_args!(
                    "] DEBUG django.db.backends: (0.{spent:03}) SELECT \"auth_user\".\"id\", \"auth_user\".\"username\", \
                     \"auth_user\".\"email\" FROM \"auth_user\" WHERE \"auth_user\".\"id\" = {user} LIMIT 21; \
                     args=({user},); alias=default request_id="
                ));
                self.id();
            }
            _ => {
                let (client, size) = (self.client(), self.rng.below(60_000));
                self.put(format_args!(
                    "] INFO gunicorn.access: {client} - - \"{method} {path} HTTP/1.1\" 200 {size} \"-\" {spent}ms request_id="
                ));
                self.id();
            }
        }
    }

    fn structlog(&mut self) {
        let (path, method) = self.path();
        let logger = self.rng.pick(LOGGERS);
        let (kind, spent) = (self.rng.below(100), self.rng.below(900));
        self.put(format_args!("{{\"request_id\": \""));
        self.id();
        self.put(format_args!("\", \"logger\": \"{logger}\", \"timestamp\": \""));
        self.hole(field::TIME, TIME_LEN);
        match kind {
            0..2 => {
                let (error, text) = ERRORS[self.rng.below(ERRORS.len() as u64) as usize];
                let file = self.rng.pick(FILES);
                self.put(format_args!(
                    "\", \"level\": \"error\", \"event\": \"request failed\", \"exception\": \"Traceback (most recent call \
                     last):\\n  File \\\"/opt/app/{file}\\\", line {spent}\\n{error}: {text}\"}}"
                ));
            }
            _ => self.put(format_args!(
                "\", \"level\": \"info\", \"event\": \"request.finished\", \"http.method\": \"{method}\", \
                 \"http.path\": \"{path}\", \"http.status\": 200, \"duration_ms\": {spent}.{}}}",
                kind % 10
            )),
        }
    }

    fn celery(&mut self) {
        let (package, spent) = (PACKAGES[self.rng.skewed(PACKAGES.len())], self.rng.below(9000));
        let task = self.rng.pick(&["index_project", "send_email", "compute_2fa", "sync_bigquery", "purge_cache"]);
        let kind = self.rng.below(100);
        self.put(format_args!("["));
        self.hole(field::PYTHON_TIME, PYTHON_TIME_LEN);
        let (level, event) = match kind {
            0..3 => ("ERROR", "raised unexpected"),
            3..50 => ("INFO", "received"),
            _ => ("INFO", "succeeded"),
        };
        self.put(format_args!(
            ": {level}/ForkPoolWorker-{}] Task warehouse.tasks.{task} {event} in {spent}ms project={package} request_id=",
            1 + kind % 8
        ));
        self.id();
        if kind < 3 {
            self.traceback();
        }
    }

    fn traceback(&mut self) {
        self.put(format_args!("\nTraceback (most recent call last):"));
        for _ in 0..5 + self.rng.below(8) {
            let (file, function) = (self.rng.pick(FILES), self.rng.pick(FUNCTIONS));
            let line = 20 + self.rng.skewed(900);
            self.put(format_args!(
                "\n  File \"/opt/app/lib/python3.13/site-packages/{file}\", line {line}, in {function}\n    \
                 response = {function}(request, *args, **kwargs)"
            ));
        }
        let (error, text) = ERRORS[self.rng.below(ERRORS.len() as u64) as usize];
        self.put(format_args!("\n{error}: {text}"));
    }

    fn client(&mut self) -> String {
        let network = self.rng.skewed(40_000);
        format!("{}.{}.{}.{}", 23 + network % 180, network / 180, network % 251, 1 + self.rng.below(254))
    }

    fn status(&mut self, class: u64) -> u64 {
        let codes: &[u64] = match class {
            2 => &[200, 200, 200, 200, 201, 204, 206],
            3 => &[301, 302, 304, 304, 304],
            4 => &[400, 401, 403, 404, 404, 404, 429],
            _ => &[500, 500, 502, 503, 504],
        };
        codes[self.rng.below(codes.len() as u64) as usize]
    }

    fn path(&mut self) -> (String, &'static str) {
        let package = PACKAGES[self.rng.skewed(PACKAGES.len())];
        let version = format!("{}.{}.{}", self.rng.skewed(30), self.rng.skewed(40), self.rng.skewed(20));
        match (self.service.name, self.rng.below(10)) {
            ("simple-api", _) => (format!("/simple/{package}/"), "GET"),
            ("conveyor", _) => {
                let digest = self.rng.hex(60);
                let path = format!(
                    "/packages/{}/{}/{digest}/{package}-{version}-py3-none-any.whl",
                    &digest[..2],
                    &digest[2..4]
                );
                (path, "GET")
            }
            ("warehouse-uploads", _) => ("/legacy/".to_owned(), "POST"),
            ("warehouse-web", 0..5) => (format!("/pypi/{package}/json"), "GET"),
            ("warehouse-web", 5..7) => (format!("/project/{package}/{version}/"), "GET"),
            ("warehouse-web", 7) => (format!("/search/?q={package}&page={}", 1 + self.rng.skewed(20)), "GET"),
            (_, 0..3) => (format!("/blogs/{}/", self.rng.skewed(5000)), "GET"),
            (_, 3..7) => (format!("/static/js/main.{}.js", self.rng.hex(8)), "GET"),
            (_, 7) => ("/wp-login.php".to_owned(), "POST"),
            (_, 8) => (format!("/api/v1/releases/{}", self.rng.skewed(90_000)), "GET"),
            _ => ("/".to_owned(), "GET"),
        }
    }
}

/// `2026-11-22T03:28:01.123456789Z`
pub const TIME_LEN: usize = 30;
/// `2026-11-22 03:28:01,123`
pub const PYTHON_TIME_LEN: usize = 23;

/// Writes Unix ns as RFC 3339 with nine decimals into 30 bytes.
pub fn write_time(time: i64, slot: &mut [u8]) {
    write_date(time, slot, b'T', b'.');
    write_digits(time.rem_euclid(1_000_000_000) as u64, &mut slot[20..29]);
    slot[29] = b'Z';
}

/// Writes Unix ns as Python's `logging` does into 23 bytes.
pub fn write_python_time(time: i64, slot: &mut [u8]) {
    write_date(time, slot, b' ', b',');
    write_digits(time.rem_euclid(1_000_000_000) as u64 / 1_000_000, &mut slot[20..23]);
}

/// Writes the last digits of `value`, as many as `slot` has room for.
pub fn write_digits(mut value: u64, slot: &mut [u8]) {
    for digit in slot.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// The first twenty bytes. The date by Howard Hinnant's `civil_from_days`.
fn write_date(time: i64, slot: &mut [u8], between: u8, after: u8) {
    let seconds = time.div_euclid(1_000_000_000);
    let (days, of_day) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400) as u64);
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months from March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    write_digits(year as u64, &mut slot[..4]);
    write_digits(month as u64, &mut slot[5..7]);
    write_digits(day as u64, &mut slot[8..10]);
    write_digits(of_day / 3600, &mut slot[11..13]);
    write_digits(of_day / 60 % 60, &mut slot[14..16]);
    write_digits(of_day % 60, &mut slot[17..19]);
    for (at, byte) in [(4, b'-'), (7, b'-'), (10, between), (13, b':'), (16, b':'), (19, after)] {
        slot[at] = byte;
    }
}
