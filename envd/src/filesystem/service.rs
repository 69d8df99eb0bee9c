//! The `filesystem.Filesystem` service: from messages to the domain and back.

use std::path::PathBuf;
use std::sync::Arc;

use connectrpc::{RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::watch::{Options, Polled, Reader, Watcher};
use super::{change, entry, list, watch};
use crate::defaults::SharedDefaults;
use crate::extensions;
use crate::fault::{Fault, Kind, Outcome};
use crate::keepalive;
use crate::paths;
use crate::proto::filesystem::{
    CreateWatcherRequest, CreateWatcherResponse, Filesystem, GetWatcherEventsRequest, GetWatcherEventsResponse,
    ListDirRequest, ListDirResponse, MakeDirRequest, MakeDirResponse, MoveRequest, MoveResponse, RemoveRequest,
    RemoveResponse, RemoveWatcherRequest, RemoveWatcherResponse, StatRequest, StatResponse, WatchDirRequest,
    WatchDirResponse,
};
use crate::users::{self, Names, User};

/// Each call acts with the rights of the user that its headers name, or else of the default one. Holds the watchers of
/// clients that poll: they go with it.
pub struct Service {
    defaults: Arc<SharedDefaults>,
    /// Places for watchers, taken while there is one.
    streams: Arc<Semaphore>,
    polls: Arc<Semaphore>,
    polled: Polled,
}

impl Service {
    /// Without watchers, and with a place for each that there may be. `defaults` is asked at each call.
    pub fn new(defaults: Arc<SharedDefaults>) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (streams, polls) = (places(watch::MAX_STREAMS), places(watch::MAX_POLLED));
        Self { defaults, streams, polls, polled: Polled::default() }
    }

    async fn user(&self, context: &RequestContext) -> Outcome<Arc<User>> {
        let name = users::requested(context.headers())?.unwrap_or_else(|| self.defaults.user());
        users::blocking(move || users::resolve(&name)).await
    }

    /// Runs `work` on the path with the rights of the caller's user.
    async fn on_path<T: Send + 'static>(
        &self,
        context: &RequestContext,
        path: &str,
        work: impl FnOnce(PathBuf) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        let user = self.user(context).await?;
        let path = paths::resolve("path", path, &user)?;
        users::run_as(&user, move || work(path)).await
    }

    async fn watcher(
        &self,
        context: &RequestContext,
        path: &str,
        options: Options,
        places: &Arc<Semaphore>,
    ) -> Outcome<(Watcher, OwnedSemaphorePermit)> {
        let user = self.user(context).await?;
        let path = paths::resolve("path", path, &user)?;
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| Fault::new(Kind::TooMany, "path: as many watchers as there may be are there"))?;
        Ok((Watcher::open(path, options, user).await?, place))
    }
}

#[expect(refining_impl_trait, reason = "plain messages: nobody else implements the generated trait")]
impl Filesystem for Service {
    async fn stat(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, StatRequest>,
    ) -> ServiceResult<StatResponse> {
        let entry = self.on_path(&context, request.path, |path| entry::entry(&path, &Names::load())).await?;
        Response::ok(StatResponse { entry: entry.into(), ..StatResponse::default() })
    }

    async fn make_dir(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, MakeDirRequest>,
    ) -> ServiceResult<MakeDirResponse> {
        let entry = self.on_path(&context, request.path, |path| change::make_dir(&path)).await?;
        Response::ok(MakeDirResponse { entry: entry.into(), ..MakeDirResponse::default() })
    }

    async fn r#move(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, MoveRequest>,
    ) -> ServiceResult<MoveResponse> {
        let user = self.user(&context).await?;
        let source = paths::resolve("source", request.source, &user)?;
        let destination = paths::resolve("destination", request.destination, &user)?;
        let entry = users::run_as(&user, move || change::rename(&source, &destination)).await?;
        Response::ok(MoveResponse { entry: entry.into(), ..MoveResponse::default() })
    }

    async fn list_dir(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, ListDirRequest>,
    ) -> ServiceResult<ListDirResponse> {
        let depth = request.depth;
        let entries = self.on_path(&context, request.path, move |path| list::list(&path, depth)).await?;
        Response::ok(ListDirResponse { entries, ..ListDirResponse::default() })
    }

    async fn remove(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, RemoveRequest>,
    ) -> ServiceResult<RemoveResponse> {
        self.on_path(&context, request.path, |path| change::remove(&path)).await?;
        Response::ok(RemoveResponse::default())
    }

    async fn watch_dir(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, WatchDirRequest>,
    ) -> ServiceResult<ServiceStream<WatchDirResponse>> {
        let options = Options {
            recursive: request.recursive,
            include_entry: request.include_entry,
            allow_network_mounts: request.allow_network_mounts,
        };
        let (watcher, place) = self.watcher(&context, request.path, options, &self.streams).await?;
        let headers = context.headers();
        let reader = Reader {
            extensions: extensions::wanted(headers),
            keepalive: keepalive::interval(headers),
            deadline: context.deadline(),
        };
        Response::stream_ok(watch::events(watcher, reader, place))
    }

    async fn create_watcher(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, CreateWatcherRequest>,
    ) -> ServiceResult<CreateWatcherResponse> {
        let options = Options {
            recursive: request.recursive,
            include_entry: request.include_entry,
            allow_network_mounts: request.allow_network_mounts,
        };
        self.polled.drop_abandoned();
        let (watcher, place) = self.watcher(&context, request.path, options, &self.polls).await?;
        let watcher_id = self.polled.keep(watcher, place)?;
        Response::ok(CreateWatcherResponse { watcher_id, ..CreateWatcherResponse::default() })
    }

    async fn get_watcher_events(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, GetWatcherEventsRequest>,
    ) -> ServiceResult<GetWatcherEventsResponse> {
        let answer = self.polled.take(request.watcher_id, extensions::wanted(context.headers()))?;
        Response::ok(GetWatcherEventsResponse {
            events: answer.events,
            overflow: answer.overflow,
            ..GetWatcherEventsResponse::default()
        })
    }

    async fn remove_watcher(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, RemoveWatcherRequest>,
    ) -> ServiceResult<RemoveWatcherResponse> {
        self.polled.remove(request.watcher_id)?;
        Response::ok(RemoveWatcherResponse::default())
    }
}
