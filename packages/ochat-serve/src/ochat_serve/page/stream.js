// Talks to the server: the served model, and a chat completion as a stream of events.
// Knows nothing of the page.

/** An answer of the server that is an error; the message is meant for people. */
export class ServerError extends Error {}

function headers(key) {
  return key ? { authorization: `Bearer ${key}` } : {};
}

async function raise(response) {
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // Not from our server (a gateway's page, say): the status has to do.
  }
  throw new ServerError(message);
}

/** The served model under its preferred name. */
export async function fetchModel(key) {
  const response = await fetch("/v1/models", { headers: headers(key) });
  if (!response.ok) await raise(response);
  return (await response.json()).data[0];
}

/** The data of server-sent events, however the network cut them. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield part.slice(6);
    }
  }
}

/** The chunks of one streamed answer; `signal` stops it, which also stops the server's work. */
export async function* streamChat(request, key, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers(key) },
    body: JSON.stringify({
      ...request, n: 1, stream: true, stream_options: { include_usage: true },
    }),
    signal,
  });
  if (!response.ok) await raise(response);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message);
    yield chunk;
  }
  throw new ServerError("The connection ended before the answer did.");
}
