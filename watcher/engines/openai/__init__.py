"""Read a plate with a vision model behind an OpenAI-compatible Chat Completions API.

Runs in the network child. The answer is handed on as the model gave it: whether it is a plate is judged by the
station. Neither `temperature` nor a cap on tokens is sent: reasoning models refuse the one, and spend the other before
they say anything; the answer is bounded by its size and its time.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping
from typing import Any

import openai
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from watcher.engines.openai.complaints import (
    LONG_PAUSE,
    is_about_any,
    is_about_model,
    judged,
    message,
    shortened,
    unusable,
)
from watcher.engines.openai.connection import Options, checked, connect
from watcher.errors import EngineRefused, EngineUnavailable
from watcher.model import NO_PLATE, Candidate, Kind, Picture, Reading, Request

NAME = "openai"

_PROMPT = (
    "Extrae únicamente {what}. Devuelve solo {short}, sin texto adicional, comentarios ni símbolos extras. "
    f"Si no hay, o no se puede leer, responde exactamente {NO_PLATE}."
)
_WANTED: Mapping[Kind, tuple[str, str]] = {
    "plate": ("el texto de la matrícula visible en esta imagen (placa de vehículo)", "la matrícula"),
    "vin": ("el número de bastidor (VIN) visible en esta imagen", "el número de bastidor"),
    "trailer_id": ("el identificador del remolque o contenedor visible en esta imagen", "el identificador"),
}
# What is asked for beside the answer. A model that refuses one way is asked the next, which is then remembered.
_WAYS: tuple[Mapping[str, Any], ...] = ({"logprobs": True}, {"reasoning_effort": "none"}, {})
_CALL_ERRORS = (openai.OpenAIError, ValueError, RecursionError)  # the last two from JSON that is none, or too deep


class Vision:
    """The engine: one client for the life of its process, and a memory of which models were refused."""

    name = NAME

    def __init__(self, options: Options) -> None:
        self._options = options
        self._client = connect(options)
        self._where = self._client.base_url.netloc.decode()
        self._gone: set[str] = set()
        self._ways = dict.fromkeys(options.models, 0)
        self._note = ""

    def probe(self) -> str:
        """Say which models are asked, where, and until when if the server tells. Costs nothing.

        Raises:
            EngineUnavailable: It cannot be reached, or refuses the key.

        """
        models = ", ".join(self._looked_up(model) for model in self._options.models)
        return f"{models} at {self._options.base_url}"

    def read(self, picture: Picture, request: Request) -> Reading:
        """Ask the first model that is not refused what it sees; the *text* is its answer, unjudged.

        Raises:
            EngineUnavailable: It could not be asked, or gave no usable answer.
            EngineRefused: It will not look at this picture.

        """
        started = time.monotonic()
        messages = self._messages(picture, request)
        for model in [model for model in self._options.models if model not in self._gone]:
            choice = self._asked(model, messages)
            if choice is not None:
                return self._reading(choice, time.monotonic() - started)
        self._gone.clear()
        raise EngineUnavailable(
            f"{self._where} refuses every model: {', '.join(self._options.models)}.",
            hint="Name a current one in models under [engines.openai].",
            code="model_unavailable",
            retry_after=LONG_PAUSE,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _messages(self, picture: Picture, request: Request) -> list[Any]:
        """Return the question and the picture; nothing that came with the photo goes into the words."""
        if not picture.encoded:
            raise EngineRefused("There is no encoded picture to send.")
        form = "png" if picture.encoded.startswith(b"\x89PNG") else "jpeg"
        url = f"data:image/{form};base64,{base64.b64encode(picture.encoded).decode()}"
        image = {"type": "image_url", "image_url": {"url": url, "detail": self._options.detail}}
        what, short = _WANTED[request.kind]
        words = {"type": "text", "text": _PROMPT.format(what=what, short=short)}
        return [{"role": "user", "content": [words, image]}]

    def _asked(self, model: str, messages: list[Any]) -> Choice | None:
        """Return what the model answered, or none, with a note for the operator, if the server refuses the model."""
        try:
            return self._choice(self._sent(model, messages))
        except openai.APIStatusError as error:
            if not is_about_model(error):
                raise judged(error, self._where, self._options.api_key) from error
            self._gone.add(model)
            said = message(error, self._options.api_key)
            self._note = shortened(f"{self._where} refuses the model {model}, so the next one is asked: {said}")
            return None
        except _CALL_ERRORS as error:
            raise unusable(error, self._where, self._options.api_key) from error

    def _sent(self, model: str, messages: list[Any]) -> object:
        """Send the question, without the extras that this model is known to refuse."""
        while True:
            extras = _WAYS[self._ways[model]]
            try:
                return self._client.chat.completions.create(model=model, messages=messages, **extras)
            except openai.APIStatusError as error:
                if not is_about_any(extras, error):
                    raise
                self._ways[model] += 1

    def _reading(self, choice: Choice, seconds: float) -> Reading:
        """Return what the model says and, once, what there is to tell the operator."""
        said, refusal = choice.message.content, choice.message.refusal
        if choice.finish_reason == "content_filter":
            raise EngineRefused(f"The content filter of {self._where} withheld the answer.", code="content_filter")
        text = shortened(said) if isinstance(said, str) else ""
        if not text and not isinstance(refusal, str):
            raise unusable("the answer is empty", self._where, self._options.api_key)
        note, self._note = self._note, ""
        if not text or text.rstrip(".") == NO_PLATE:
            unread = () if text else (Candidate(shortened(str(refusal))),)
            return Reading(None, engine=NAME, candidates=unread, seconds=seconds, note=note)
        return Reading(text, _confidence(choice), NAME, seconds=seconds, note=note)

    def _choice(self, completion: object) -> Choice:
        """Return the first choice, if the answer has the shape of one: the SDK does not check."""
        choices = completion.choices if isinstance(completion, ChatCompletion) else None
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, Choice) or not isinstance(choice.message, openai.BaseModel):
            raise unusable("the answer is not a chat completion", self._where, self._options.api_key)
        return choice

    def _looked_up(self, model: str) -> str:
        """Return a model's name with what its server says of it."""
        try:
            ends = getattr(self._client.models.retrieve(model), "shutdown_date", None)
        except openai.NotFoundError:
            return f"{model} (not known there)"
        except openai.APIStatusError as error:
            raise judged(error, self._where, self._options.api_key) from error
        except _CALL_ERRORS as error:
            raise unusable(error, self._where, self._options.api_key) from error
        return f"{model} (shuts down on {shortened(str(ends))})" if ends else model


def create(options: Mapping[str, Any]) -> Vision:
    """Return the engine for what stands under `[engines.openai]`, with the key as `api_key`.

    Raises:
        SettingsInvalid: An option is missing, unknown or cannot be right.

    """
    return Vision(checked(options))


def _confidence(choice: Choice) -> float | None:
    """Return the probability of the whole answer: the product of its tokens', blanks aside; none if not told."""
    try:
        tokens = choice.logprobs.content if choice.logprobs else None
        told = [token.logprob for token in tokens or [] if any(map(str.isalnum, token.token))]
        return math.exp(sum(told)) if told and sum(told) <= 0.0 else None
    except (AttributeError, TypeError, OverflowError):
        return None
