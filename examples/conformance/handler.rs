//! The product's handler with fixtures in front: what is no fixture goes through to it.

use std::{borrow::Cow, sync::Arc};

use ironclad_mcp::server::Server;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, CustomRequest, CustomResult,
        DiscoverResult, GetPromptRequestParams, GetPromptResponse, ListPromptsResult, ListResourceTemplatesResult,
        ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams,
        ReadResourceResponse, ReadResourceResult, RequestStateCodec, ServerCapabilities, ServerConfig,
        SetLevelRequestMethod, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
        UnsubscribeRequestParams,
    },
    service::{NotificationContext, RequestContext, SubscriptionContext, SubscriptionSink},
};
use tokio::sync::watch;

use crate::{prompts, resources, tools};

/// The handler that the suite talks to.
#[derive(Clone)]
pub(crate) struct Suite {
    server: Server,
    pub(crate) own: Arc<Own>,
}

/// What the fixtures share.
pub(crate) struct Own {
    pub(crate) states: RequestStateCodec,
    pub(crate) tools_changed: watch::Sender<u64>,
    pub(crate) prompts_changed: watch::Sender<u64>,
}

impl Suite {
    pub(crate) fn new(server: Server) -> Self {
        let states = RequestStateCodec::new([3; 32]);
        let own = Own { states, tools_changed: watch::Sender::new(0), prompts_changed: watch::Sender::new(0) };
        Self { server, own: Arc::new(own) }
    }

    /// What the fixtures need and the product has not: logging, subscriptions to resources, changes of prompts.
    fn capabilities(&self) -> ServerCapabilities {
        let mut all = self.server.get_info().capabilities;
        let own = ServerCapabilities::builder()
            .enable_logging()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .build();
        (all.logging, all.prompts, all.resources) = (own.logging, own.prompts, own.resources);
        all
    }

    /// Tells of the fixtures' changes until nobody listens any more.
    async fn tell(&self, sink: SubscriptionSink) {
        let (mut tools, mut prompts) = (self.own.tools_changed.subscribe(), self.own.prompts_changed.subscribe());
        loop {
            // The sink sends only what the client asked for; the rest is refused there.
            tokio::select! {
                Ok(()) = tools.changed() => drop(sink.notify_tool_list_changed().await),
                Ok(()) = prompts.changed() => drop(sink.notify_prompt_list_changed().await),
                else => return,
            }
        }
    }
}

/// Whether the request is of the revision without sessions.
pub(crate) fn is_modern(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

impl ServerHandler for Suite {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.server.get_info();
        info.capabilities = self.capabilities();
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.server.supported_protocol_versions()
    }

    async fn discover(&self, cx: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let mut result = self.server.discover(cx).await?;
        result.capabilities = self.capabilities();
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::get(name).or_else(|| self.server.get_tool(name))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut result = self.server.list_tools(request, cx).await?;
        result.tools.extend(tools::all());
        Ok(result)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if tools::get(&request.name).is_some() {
            return tools::call(&self.own, &request, &cx).await;
        }
        self.server.call_tool(request, cx).await
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut result = self.server.list_resources(request, cx).await?;
        result.resources.extend(resources::all());
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut result = self.server.list_resource_templates(request, cx).await?;
        result.resource_templates.push(resources::template());
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match resources::read(&request.uri) {
            Some(contents) => Ok(ReadResourceResult::new(vec![contents]).into()),
            None => self.server.read_resource(request, cx).await,
        }
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut result = self.server.list_prompts(request, cx).await?;
        result.prompts.extend(prompts::all());
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        match prompts::get(&request) {
            Some(response) => response,
            None => self.server.get_prompt(request, cx).await,
        }
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        match prompts::complete(&request) {
            Some(result) => Ok(result),
            None => self.server.complete(request, cx).await,
        }
    }

    async fn on_initialized(&self, cx: NotificationContext<RoleServer>) {
        self.server.on_initialized(cx).await;
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        cx: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        self.server.on_custom_request(request, cx).await
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.server.accepted_subscription_filter(requested)
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let sink = subscription.sink().clone();
        tokio::select! {
            ended = self.server.listen(subscription) => ended,
            () = self.tell(sink) => Ok(()),
        }
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if is_modern(&cx) { Err(ErrorData::method_not_found::<SetLevelRequestMethod>()) } else { Ok(()) }
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }
}
