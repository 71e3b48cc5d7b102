//! The prompts that the suite gets.

use rmcp::{
    ErrorData,
    model::{
        CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock, GetPromptRequestParams, GetPromptResponse,
        GetPromptResult, InputRequiredResult, Prompt, PromptArgument, PromptMessage, Reference, ResourceContents, Role,
    },
};
use serde_json::Value;

use crate::{
    asking::{asked, name_form},
    tools::PNG,
};

const PROMPTS: [(&str, &[&str]); 5] = [
    ("test_simple_prompt", &[]),
    ("test_prompt_with_arguments", &["arg1", "arg2"]),
    ("test_prompt_with_embedded_resource", &["resourceUri"]),
    ("test_prompt_with_image", &[]),
    ("test_input_required_result_prompt", &[]),
];

pub(crate) fn all() -> impl Iterator<Item = Prompt> {
    PROMPTS.into_iter().map(|(name, arguments)| {
        let arguments = arguments.iter().map(|name| PromptArgument::new(*name).with_required(true));
        let arguments: Vec<PromptArgument> = arguments.collect();
        Prompt::new(name, Some("A fixture."), (!arguments.is_empty()).then_some(arguments))
    })
}

pub(crate) fn get(request: &GetPromptRequestParams) -> Option<Result<GetPromptResponse, ErrorData>> {
    let given = |name: &str| {
        let value = request.arguments.as_ref().and_then(|arguments| arguments.get(name));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let text = |text: String| PromptMessage::new_text(Role::User, text);
    let messages = match request.name.as_str() {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.".into())],
        "test_prompt_with_arguments" => {
            vec![text(format!("Prompt with arguments: arg1='{}', arg2='{}'", given("arg1"), given("arg2")))]
        }
        "test_prompt_with_embedded_resource" => {
            let contents = ResourceContents::text("Embedded resource content for testing.", given("resourceUri"));
            let embedded = PromptMessage::new(Role::User, ContentBlock::resource(contents));
            vec![embedded, text("Please process the embedded resource above.".into())]
        }
        "test_prompt_with_image" => {
            let image = PromptMessage::new(Role::User, ContentBlock::image(PNG, "image/png"));
            vec![image, text("Please analyze the image above.".into())]
        }
        "test_input_required_result_prompt" => {
            let answers = request.input_responses.as_ref();
            let Some(context) = answers.and_then(|answers| answers.get("user_context")).filter(|it| it.is_object())
            else {
                return Some(question());
            };
            vec![text(format!("Context: {context}"))]
        }
        _ => return None,
    };
    Some(Ok(GetPromptResult::new(messages).into()))
}

fn question() -> Result<GetPromptResponse, ErrorData> {
    let form = name_form("What context should the prompt use?", "context", "string")?;
    Ok(InputRequiredResult::from_input_requests(asked([("user_context", form)])).into())
}

pub(crate) fn complete(request: &CompleteRequestParams) -> Option<CompleteResult> {
    let Reference::Prompt(prompt) = &request.r#ref else { return None };
    let (_, arguments) = PROMPTS.into_iter().find(|(name, _)| *name == prompt.name)?;
    arguments.contains(&request.argument.name.as_str()).then(|| {
        let values = vec![format!("{}1", request.argument.value), format!("{}2", request.argument.value)];
        CompleteResult::new(CompletionInfo::with_all_values(values).unwrap_or_default())
    })
}
