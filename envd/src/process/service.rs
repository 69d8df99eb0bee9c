//! The `process.Process` service: from messages to the domain and back.

use std::sync::Arc;

use connectrpc::{ConnectError, InboundStream, RequestContext, Response, ServiceRequest, ServiceResult, ServiceStream};
use futures_util::StreamExt;

use super::request::plan;
use super::stream::{events, keepalive};
use super::supervisor;
use super::table::Table;
use crate::defaults::SharedDefaults;
use crate::fault::{Fault, Kind};
use crate::proto::process::process_input::Input;
use crate::proto::process::{
    CloseStdinRequest, CloseStdinResponse, ConnectRequest, ConnectResponse, ListRequest, ListResponse, Process,
    SendInputRequest, SendInputResponse, SendSignalRequest, SendSignalResponse, StartRequest, StartResponse,
    StreamInputRequest, StreamInputResponse, UpdateRequest, UpdateResponse,
};
use crate::users;

pub struct Service {
    table: Arc<Table>,
    defaults: Arc<SharedDefaults>,
}

impl Service {
    pub fn new(table: Arc<Table>, defaults: Arc<SharedDefaults>) -> Self {
        Self { table, defaults }
    }
}

#[expect(refining_impl_trait, reason = "plain messages: nobody else implements the generated trait")]
impl Process for Service {
    async fn list(&self, _: RequestContext, _: ServiceRequest<'_, ListRequest>) -> ServiceResult<ListResponse> {
        Response::ok(ListResponse {
            processes: self.table.list().iter().map(|process| process.info()).collect(),
            ..ListResponse::default()
        })
    }

    async fn connect(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, ConnectRequest>,
    ) -> ServiceResult<ServiceStream<ConnectResponse>> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        let ended = || Fault::new(Kind::NotFound, "process: has ended");
        let subscription = process.output.subscribe().ok_or_else(ended)?;
        let events = events(process.pid, subscription, keepalive(context.headers()));
        Response::stream_ok(
            events
                .map(|event| event.map(|event| ConnectResponse { event: event.into(), ..ConnectResponse::default() })),
        )
    }

    async fn start(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, StartRequest>,
    ) -> ServiceResult<ServiceStream<StartResponse>> {
        let request = request.to_owned_message();
        let user = users::requested(context.headers())?;
        let defaults = self.defaults.get();
        let deadline = context.deadline().map(Into::into);
        let make = move || plan(request, user, defaults);
        let (process, subscription) = supervisor::start(Arc::clone(&self.table), make, deadline).await?;
        let events = events(process.pid, subscription, keepalive(context.headers()));
        Response::stream_ok(
            events.map(|event| event.map(|event| StartResponse { event: event.into(), ..StartResponse::default() })),
        )
    }

    async fn update(&self, _: RequestContext, _: ServiceRequest<'_, UpdateRequest>) -> ServiceResult<UpdateResponse> {
        Err(ConnectError::unimplemented("Update: not supported yet"))
    }

    async fn stream_input(
        &self,
        _: RequestContext,
        _: InboundStream<StreamInputRequest>,
    ) -> ServiceResult<StreamInputResponse> {
        Err(ConnectError::unimplemented("StreamInput: not supported yet"))
    }

    async fn send_input(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, SendInputRequest>,
    ) -> ServiceResult<SendInputResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        match request.input.into_option().and_then(|input| input.input) {
            Some(Input::Stdin(bytes)) => process.stdin.write(&bytes).await?,
            Some(Input::Pty(_)) => {
                return Err(Fault::new(Kind::FailedPrecondition, "input.pty: the process has no terminal").into());
            }
            None => return Err(Fault::invalid("input: must be set").into()),
        }
        Response::ok(SendInputResponse::default())
    }

    async fn send_signal(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, SendSignalRequest>,
    ) -> ServiceResult<SendSignalResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        let signal = request.signal.to_i32();
        if signal < 1 {
            return Err(Fault::invalid("signal: must be a signal's number").into());
        }
        process.signal(signal)?;
        Response::ok(SendSignalResponse::default())
    }

    async fn close_stdin(
        &self,
        _: RequestContext,
        request: ServiceRequest<'_, CloseStdinRequest>,
    ) -> ServiceResult<CloseStdinResponse> {
        let request = request.to_owned_message();
        let process = self.table.find(request.process.as_option())?;
        process.stdin.close().await?;
        Response::ok(CloseStdinResponse::default())
    }
}
