//! From a request to its handler. The token is checked here, in front of everything but the health probe and
//! `/files`, which takes signatures too, so that no route can forget it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use connectrpc::{ConnectError, ConnectRpcBody, ConnectRpcService, Limits, Router};
use futures_util::FutureExt;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use tower_service::Service;

use crate::connections::Connections;
use crate::defaults::SharedDefaults;
use crate::extensions;
use crate::fault::{Fault, Kind, Outcome};
use crate::files::Files;
use crate::holder::Legacy;
use crate::init::{Arrival, Init, Initializer, Kernel};
use crate::metrics::Metrics;
use crate::proto::filesystem::FilesystemExt;
use crate::proto::process::ProcessExt;
use crate::reply::{self, Reply};
use crate::state::State;
use crate::token::{Token, TokenDigest};
use crate::tunnel::{self, Tunnels};
use crate::{body, cors, filesystem, process, snapshot, users};

const MAX_INIT_BYTES: usize = 4 << 20;
/// An input message carries at most this much; more goes in several.
const MAX_MESSAGE_BYTES: usize = 16 << 20;
const RPC_PREFIXES: [&str; 2] = ["/process.Process/", "/filesystem.Filesystem/"];

/// All that a request may need: one per agent, shared by all connections.
pub struct App {
    token: Arc<Token>,
    defaults: Arc<SharedDefaults>,
    initializer: Arc<Initializer>,
    state: Arc<State>,
    files: Files,
    metrics: Arc<Metrics>,
    tunnels: Tunnels,
    pub connections: Arc<Connections>,
    pub processes: Arc<process::Table>,
    rpc: ConnectRpcService<Router>,
}

impl App {
    /// Begins with what an earlier agent left, if there was one.
    pub async fn new(digest: TokenDigest, in_guest: bool, legacy: Option<Legacy>) -> Self {
        let token = Arc::new(Token::new(digest));
        let defaults = Arc::new(SharedDefaults::default());
        let holder = legacy.as_ref().map(|legacy| Arc::clone(&legacy.holder));
        let processes = Arc::new(process::Table::new(holder.clone().map(process::Keeper::new)));
        let epoch = Arc::new(AtomicU64::new(0));
        let state = Arc::new(State::new(Arc::clone(&token), Arc::clone(&defaults), Arc::clone(&epoch), holder));
        if let Some(legacy) = legacy {
            if let Some(saved) = legacy.state {
                state.restore(&saved);
            }
            processes.adopt(legacy.processes).await;
        }
        let process = process::Service::new(Arc::clone(&processes), Arc::clone(&defaults));
        let filesystem = filesystem::Service::new(Arc::clone(&defaults));
        let router = Arc::new(filesystem).register(Arc::new(process).register(Router::new()));
        let limits = Limits::default()
            .with_max_request_body_size(MAX_MESSAGE_BYTES * 2)
            .with_max_message_size(MAX_MESSAGE_BYTES);
        let system = Box::new(Kernel);
        let initializer = Initializer::new(system, in_guest, Arc::clone(&token), Arc::clone(&defaults), epoch);
        Self {
            initializer: Arc::new(initializer),
            rpc: ConnectRpcService::new(router).with_limits(limits),
            files: Files::new(Arc::clone(&token), Arc::clone(&defaults)),
            metrics: Arc::default(),
            tunnels: Tunnels::default(),
            connections: Arc::default(),
            token,
            defaults,
            state,
            processes,
        }
    }

    /// Answers one request. A panic in a handler is that request's failure only.
    pub async fn handle(&self, request: Request<Incoming>) -> Reply {
        if let Some(reply) = cors::preflight(&request) {
            return reply;
        }
        let (is_head, is_cross_origin) = (request.method() == Method::HEAD, cors::is_asked(request.headers()));
        let reply = match AssertUnwindSafe(self.route(request)).catch_unwind().await {
            Ok(reply) => reply,
            Err(_) => reply::fault(&Fault::internal("the request failed unexpectedly")),
        };
        let reply = if is_cross_origin { cors::allow(reply) } else { reply };
        if is_head { reply::without_body(reply) } else { reply }
    }

    async fn route(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path();
        if path == "/health" && request.method() == Method::GET {
            return health();
        }
        if path == "/files" {
            // The one route that takes signatures too.
            let outcome = self.files.serve(request).await;
            return outcome.unwrap_or_else(|fault| reply::fault(&fault));
        }
        let is_rpc = RPC_PREFIXES.iter().any(|prefix| path.starts_with(prefix));
        if !self.token.accepts(request.headers()) {
            return unauthenticated(&request, is_rpc);
        }
        if is_rpc {
            return self.call(request).await;
        }
        self.rest(request).await.unwrap_or_else(|fault| reply::fault(&fault))
    }

    async fn rest(&self, request: Request<Incoming>) -> Outcome<Reply> {
        match (request.uri().path(), request.method()) {
            ("/files/compose", &Method::POST) => self.files.compose(request).await,
            ("/init", &Method::POST) => self.init(request).await,
            ("/snapshot/prepare", &Method::POST) => snapshot::prepare(&request, &self.connections).await,
            ("/metrics", &Method::GET) => self.metrics(&request).await,
            (path, &Method::POST) if path.starts_with(tunnel::PREFIX) => self.tunnels.open(request).await,
            ("/envs", &Method::GET) => Ok(reply::json(StatusCode::OK, &json!(self.defaults.get().envs))),
            ("/health" | "/files/compose" | "/init" | "/snapshot/prepare" | "/metrics" | "/envs", method) => {
                Err(Fault::new(Kind::MethodNotAllowed, format!("method {method} is not allowed here")))
            }
            (path, method) if path.starts_with(tunnel::PREFIX) => {
                Err(Fault::new(Kind::MethodNotAllowed, format!("method {method} is not allowed here")))
            }
            (path, _) => Err(Fault::new(Kind::NotFound, format!("no route {path}"))),
        }
    }

    async fn init(&self, request: Request<Incoming>) -> Outcome<Reply> {
        let on = request.extensions().get().copied();
        let bytes = body::collect(request.into_body(), MAX_INIT_BYTES).await?;
        let arrival = Arrival { at: Instant::now(), on };
        let (initializer, state) = (Arc::clone(&self.initializer), Arc::clone(&self.state));
        // In a task of its own, so that a client that leaves does not stop it half-way.
        let applied = tokio::spawn(async move {
            users::blocking(move || initializer.apply(Init::parse(&bytes)?, arrival)).await?;
            state.save().await
        });
        applied.await.unwrap_or_else(|_| Err(Fault::internal("init: failed unexpectedly")))?;
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    async fn metrics(&self, request: &Request<Incoming>) -> Outcome<Reply> {
        let metrics = Arc::clone(&self.metrics);
        let extensions = extensions::wanted(request.headers());
        let answer = users::blocking(move || metrics.read(extensions)).await?;
        Ok(reply::json(StatusCode::OK, &answer))
    }

    async fn call(&self, request: Request<Incoming>) -> Reply {
        let mut service = self.rpc.clone();
        let Ok(response) = service.call(request).await;
        response.map(boxed)
    }
}

/// A whole message is boxed as such, because then its length is known.
fn boxed(body: ConnectRpcBody) -> reply::Body {
    match body {
        ConnectRpcBody::Full(body) => body.map_err(|never| match never {}).boxed_unsync(),
        other => other.map_err(|never| match never {}).boxed_unsync(),
    }
}

fn health() -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert("x-envd-version", HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    reply
}

fn unauthenticated(request: &Request<Incoming>, is_rpc: bool) -> Reply {
    let message = "x-access-token: missing or wrong";
    if !is_rpc {
        return reply::fault(&Fault::new(Kind::Unauthenticated, message));
    }
    let response = ConnectError::unauthenticated(message).into_http_response(request.headers());
    response.map(boxed)
}
