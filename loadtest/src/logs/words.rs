//! What the lines of a package index are made of.

/// How an application writes its log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Framework {
    Django,
    Structlog,
    Celery,
}

/// Something that runs in a cluster and takes requests.
#[derive(Debug, PartialEq)]
pub struct Service {
    pub cluster: &'static str,
    pub namespace: &'static str,
    pub name: &'static str,
    pub host: &'static str,
    pub framework: Framework,
}

const fn service(
    cluster: &'static str,
    namespace: &'static str,
    name: &'static str,
    host: &'static str,
    framework: Framework,
) -> Service {
    Service { cluster, namespace, name, host, framework }
}

/// The loudest first.
pub const SERVICES: &[Service] = &[
    service("pypi", "warehouse", "warehouse-web", "pypi.test", Framework::Structlog),
    service("pypi", "simple-index", "simple-api", "pypi.test", Framework::Structlog),
    service("psf", "pythondotorg", "pythondotorg-web", "www.python.test", Framework::Django),
    service("pypi", "conveyor", "conveyor", "files.pypi.test", Framework::Structlog),
    service("psf", "docs", "docs-web", "docs.python.test", Framework::Django),
    service("pypi", "warehouse", "warehouse-uploads", "upload.pypi.test", Framework::Structlog),
    service("pypi", "warehouse", "warehouse-worker", "pypi.test", Framework::Celery),
    service("psf", "mailman", "mailman-hyperkitty", "mail.python.test", Framework::Django),
    service("psf", "pycon", "pycon-web", "us.pycon.test", Framework::Django),
    service("psf", "bugs", "bugs-tracker", "bugs.python.test", Framework::Django),
    service("pypi", "linehaul", "linehaul", "linehaul.pypi.test", Framework::Celery),
    service("psf", "buildbot", "buildbot-master", "buildbot.python.test", Framework::Celery),
];

pub const PACKAGES: &[&str] = &[
    "boto3",
    "urllib3",
    "botocore",
    "requests",
    "certifi",
    "idna",
    "charset-normalizer",
    "typing-extensions",
    "setuptools",
    "packaging",
    "python-dateutil",
    "s3transfer",
    "six",
    "numpy",
    "pyyaml",
    "fsspec",
    "pip",
    "cryptography",
    "wheel",
    "cffi",
    "pandas",
    "google-api-core",
    "pycparser",
    "pydantic",
    "protobuf",
    "jmespath",
    "attrs",
    "click",
    "rsa",
    "zipp",
    "markupsafe",
    "jinja2",
    "platformdirs",
    "pytz",
    "colorama",
    "virtualenv",
    "pyjwt",
    "filelock",
    "tomli",
    "cachetools",
    "pluggy",
    "wrapt",
    "pyparsing",
    "pytest",
    "rich",
    "jsonschema",
    "aiohttp",
    "pyarrow",
    "tqdm",
    "scipy",
    "yarl",
    "multidict",
    "sqlalchemy",
    "psutil",
    "pillow",
    "frozenlist",
    "greenlet",
    "fastapi",
    "starlette",
    "anyio",
    "httpx",
    "h11",
    "uvicorn",
    "django",
    "flask",
    "werkzeug",
    "celery",
    "kombu",
    "redis",
    "torch",
    "transformers",
    "scikit-learn",
    "matplotlib",
    "ruff",
    "mypy",
    "black",
    "uv",
];

/// User agents, as JSON strings have them.
pub const AGENTS: &[&str] = &[
    r#"pip/25.1 {\"ci\":true,\"cpu\":\"x86_64\",\"distro\":{\"id\":\"jammy\",\"name\":\"Ubuntu\",\"version\":\"22.04\"},\"implementation\":{\"name\":\"CPython\",\"version\":\"3.11.9\"},\"openssl_version\":\"OpenSSL 3.0.2 15 Mar 2022\",\"python\":\"3.11.9\"}"#,
    r#"uv/0.9.7 {\"installer\":{\"name\":\"uv\",\"version\":\"0.9.7\"},\"python\":\"3.13.9\",\"cpu\":\"x86_64\",\"ci\":true}"#,
    r#"pip/24.0 {\"ci\":null,\"cpu\":\"aarch64\",\"implementation\":{\"name\":\"CPython\",\"version\":\"3.13.2\"},\"python\":\"3.13.2\"}"#,
    "poetry/2.1.3 CPython/3.12.10 Linux/5.15.0-1057-aws",
    "Bandersnatch/6.5.0 (CPython 3.11.2-final0, Linux 6.1.0 x86_64) (aiohttp 3.9.5)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/8.5.0",
    "renovate/41.122.3",
];

pub const ERRORS: &[(&str, &str)] = &[
    (
        "django.db.utils.OperationalError",
        "connection to server at '10.96.14.2', port 5432 failed: FATAL: remaining connection slots are reserved",
    ),
    ("redis.exceptions.TimeoutError", "Timeout reading from redis-master.cache.svc.cluster.local:6379"),
    ("ValueError", "invalid literal for int() with base 10: 'undefined'"),
    (
        "botocore.exceptions.ClientError",
        "An error occurred (SlowDown) when calling the PutObject operation (reached max retries: 4)",
    ),
    (
        "opensearchpy.exceptions.ConnectionTimeout",
        "ConnectionTimeout caused by ReadTimeoutError(Read timed out. (read timeout=0.5))",
    ),
    ("UnicodeDecodeError", "'utf-8' codec can't decode byte 0xe4 in position 3: Käse → 東京"),
];

pub const FILES: &[&str] = &[
    "django/core/handlers/exception.py",
    "django/core/handlers/base.py",
    "django/views/generic/base.py",
    "django/db/models/query.py",
    "django/db/backends/utils.py",
    "sqlalchemy/orm/query.py",
    "pyramid/tweens.py",
    "pyramid/router.py",
    "warehouse/packaging/views.py",
    "warehouse/search/queries.py",
    "redis/connection.py",
    "celery/app/trace.py",
];

pub const FUNCTIONS: &[&str] = &[
    "inner",
    "_get_response",
    "dispatch",
    "__iter__",
    "_fetch_all",
    "execute",
    "__call__",
    "project_detail",
    "trace_task",
];

pub const LOGGERS: &[&str] = &[
    "warehouse.request",
    "warehouse.packaging",
    "warehouse.search",
    "warehouse.accounts",
    "sqlalchemy.engine",
    "pyramid_tm",
];
