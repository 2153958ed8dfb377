// The page Generate: a model, a prompt or a chat, and the text token by token.

import { h } from "../components/dom.js";
import { ErrorNote } from "../components/error-note.js";
import { ModelPicker } from "../components/model-picker.js";
import { SamplingForm } from "../components/sampling-form.js";
import { Segments } from "../components/segments.js";
import { Chat } from "./generate-chat.js";
import { Completion } from "./generate-text.js";

/** Fills the page's section. */
export function generatePage(section, context) {
  const sampling = new SamplingForm();
  const error = new ErrorNote();
  const text = new Completion(context, sampling, error);
  const chat = new Chat(context, sampling, error);
  const kind = new Segments("Kind of generation", [["text", "Text"], ["chat", "Chat"]], draw);
  const hint = h("p", { class: "note" });
  const options = h("section", { class: "panel", "aria-label": "Sampling" }, h("h2", {}, "Sampling"), sampling.element,
    h("p", { class: "note" }, "Temperature 0 takes the most likely token. Empty fields are off."));

  function draw() {
    const model = context.models.current;
    const canChat = Boolean(model?.chat);
    kind.element.hidden = !canChat;
    const isChat = canChat && kind.value === "chat";
    text.element.hidden = isChat;
    chat.element.hidden = !isChat;
    hint.textContent = !model ? "Train a model on the page Train, or open one: a Hugging Face folder or a GGUF file."
      : !model.generates && model.infills ? "This model fills in gaps: write ___ in the prompt where text is missing."
      : !model.generates ? "This model does not generate text. The page Inspect shows what it computes." : "";
    hint.hidden = hint.textContent === "";
    text.draw(model);
    chat.draw(model);
  }

  let known = null;
  context.models.subscribe(() => {
    const model = context.models.current;
    if (model?.model !== known) {
      known = model?.model;
      if (model?.chat) kind.choose("chat");
      chat.clear();
      text.clear();
      error.clear();
    }
    draw();
  });
  section.append(h("div", { class: "flow" }, new ModelPicker(context).element, hint,
    h("div", { class: "split aside" }, h("div", { class: "flow" }, kind.element, text.element, chat.element, error.element), options)));
  draw();
  return { shown: draw };
}
