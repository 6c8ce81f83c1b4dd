// src/client/retry.ts
var TRIES = 6;
var FIRST_WAIT_MS = 500;
var LONGEST_WAIT_MS = 12e4;
var PassingFault = class {
  constructor(reason) {
    this.reason = reason;
  }
  reason;
};
async function retry(task, signal, onRetry) {
  for (let failures = 1; ; failures += 1) {
    try {
      return await task();
    } catch (fault) {
      signal?.throwIfAborted();
      if (!(fault instanceof PassingFault)) throw fault;
      const milliseconds = Math.max(FIRST_WAIT_MS * 2 ** failures * (1 + Math.random()) / 4, fault.reason.retryAfterSeconds * 1e3);
      if (failures === TRIES || milliseconds > LONGEST_WAIT_MS) throw fault.reason;
      onRetry?.(fault.reason);
      await wait(milliseconds, signal);
    }
  }
}
async function wait(milliseconds, signal) {
  await new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) stop();
  });
}

// src/client/upload-error.ts
var UploadError = class extends Error {
  /**
   * @param status the HTTP status; 0 when there was no reply
   * @param detail what happened and what to do, for people
   */
  constructor(code, status, detail, { retryAfterSeconds = 0, cause } = {}) {
    super(`${code}: ${detail}`, { cause });
    this.code = code;
    this.status = status;
    this.detail = detail;
    this.retryAfterSeconds = retryAfterSeconds;
  }
  code;
  status;
  detail;
  name = "UploadError";
  /** The upload it happened to, once there is one: `upload(file, { …, uploadId })` goes on with it. */
  uploadId;
  /** When it may be worth another try; 0 when nobody has said. */
  retryAfterSeconds;
};

// src/client/call-service.ts
async function callService(service, method, path, call = {}) {
  const { token } = service;
  return await retry(async () => {
    let reply = await send(service, method, path, call);
    if (reply.status === 401 && typeof token === "function") reply = await send(service, method, path, call);
    const retryAfterSeconds = Number(reply.headers.get("retry-after")) || 0;
    const body = await reply.json().catch(() => null);
    if (reply.ok && (body !== null || reply.status === 204)) return { status: reply.status, body, retryAfterSeconds };
    const problem = body;
    const error = new UploadError(problem?.code ?? "UNEXPECTED_REPLY", reply.status, problem?.detail ?? `The service answered ${reply.status}.`, { retryAfterSeconds });
    const isPassing = reply.ok || reply.status === 408 || reply.status === 429 || reply.status >= 500 || retryAfterSeconds > 0 && error.code !== "OBJECT_MISSING";
    throw isPassing ? new PassingFault(error) : error;
  }, call.retrySignal ?? call.signal, service.onRetry);
}
async function send({ baseUrl, token }, method, path, { body, headers, signal }) {
  const bearer = typeof token === "function" ? await token() : token;
  signal?.throwIfAborted();
  return await fetch(baseUrl.replace(/\/+$/, "") + path, {
    method,
    headers: {
      authorization: `Bearer ${bearer}`,
      ...body !== void 0 && { "content-type": "application/json" },
      ...headers
    },
    // A page that is left can still give its upload up.
    keepalive: method === "DELETE",
    ...body !== void 0 && { body: JSON.stringify(body) },
    ...signal && { signal }
  }).catch((cause) => {
    throw new PassingFault(new UploadError("NETWORK_ERROR", 0, "The service cannot be reached.", { cause }));
  });
}

// src/client/send-bytes.ts
var STALL_MS = 6e4;
var PASSING_STATUSES = [403, 408, 409, 429];
async function sendBytes(sending) {
  const { body, method, signal, onProgress } = sending;
  signal?.throwIfAborted();
  const { status, text } = await ("XMLHttpRequest" in globalThis ? sendByXhr : sendByFetch)(sending).catch(async (cause) => {
    signal?.throwIfAborted();
    if (body instanceof Blob) await body.slice(0, 1).arrayBuffer();
    throw new PassingFault(new UploadError("NETWORK_ERROR", 0, "The object storage cannot be reached.", { cause }));
  });
  if (status >= 200 && status < 300 || status === 412 && method === "PUT") return onProgress(1);
  const code = /<Code>(\w+)/.exec(text)?.[1] ?? "";
  const error = new UploadError("STORAGE_ERROR", status, `The object storage answered ${status} ${code}`.trim());
  throw status >= 500 || PASSING_STATUSES.includes(status) || code === "RequestTimeout" ? new PassingFault(error) : error;
}
async function sendByXhr({ method, url, headers = {}, body, signal, onProgress }) {
  return await new Promise((resolve, reject) => {
    const xhr = new globalThis.XMLHttpRequest();
    const stop = () => xhr.abort();
    let stalled;
    const watch = () => {
      clearTimeout(stalled);
      stalled = setTimeout(stop, STALL_MS);
    };
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onload = watch;
    xhr.upload.onprogress = ({ loaded, total }) => {
      watch();
      if (total > 0) onProgress(loaded / total);
    };
    xhr.onload = () => resolve({ status: xhr.status, text: xhr.responseText });
    xhr.onerror = xhr.onabort = reject;
    xhr.onloadend = () => {
      clearTimeout(stalled);
      signal?.removeEventListener("abort", stop);
    };
    signal?.addEventListener("abort", stop);
    xhr.send(body);
  });
}
async function sendByFetch({ method, url, headers = {}, body, signal }) {
  const reply = await fetch(url, { method, headers, body, ...signal && { signal } });
  return { status: reply.status, text: await reply.text() };
}

// src/client/upload-source.ts
async function readSlice(source, start, end) {
  const slice = source.slice(start, end);
  return slice instanceof Blob ? slice : new Blob([await slice.arrayBuffer()]);
}

// src/client/send-parts.ts
var URLS_PER_CALL = 20;
async function sendParts(instructions, file, options) {
  const { partSizeBytes, partCount, parts, uploadedParts = [] } = instructions;
  const { path, signal } = options;
  const sentBytes = new Map(uploadedParts.map((part) => [part.partNumber, part.sizeBytes]));
  const waiting = Array.from({ length: partCount }, (_, index) => index + 1).filter((partNumber) => !sentBytes.has(partNumber));
  const urls = new Map(parts.map((part) => [part.partNumber, part]));
  let asking;
  const report = () => options.onProgress([...sentBytes.values()].reduce((sum, bytes) => sum + bytes, 0));
  async function askForUrls(partNumber) {
    const partNumbers = [partNumber, ...waiting.filter((number) => !urls.has(number))].slice(0, URLS_PER_CALL);
    const { body } = await callService(options, "POST", `${path}/parts`, { body: { partNumbers }, signal });
    for (const part of body.parts) urls.set(part.partNumber, part);
    if (!urls.has(partNumber)) throw new UploadError("UNEXPECTED_REPLY", 200, `The service gave no URL for part ${partNumber}.`);
  }
  async function takeUrl(partNumber) {
    for (; ; ) {
      const part = urls.get(partNumber);
      if (urls.delete(partNumber) && part) return part;
      asking ??= askForUrls(partNumber).finally(() => {
        asking = void 0;
      });
      await asking;
    }
  }
  async function sendPart(partNumber) {
    const { url, headers, sizeBytes } = await takeUrl(partNumber);
    const start = (partNumber - 1) * partSizeBytes;
    const body = await readSlice(file, start, start + sizeBytes);
    try {
      await sendBytes({
        method: "PUT",
        url,
        headers,
        body,
        signal,
        onProgress: (fraction) => {
          sentBytes.set(partNumber, fraction * sizeBytes);
          report();
        }
      });
    } catch (fault) {
      if (fault instanceof PassingFault && fault.reason.status === 403) urls.clear();
      throw fault;
    }
  }
  async function work() {
    for (let partNumber = waiting.shift(); partNumber !== void 0; partNumber = waiting.shift()) {
      const current = partNumber;
      await retry(() => sendPart(current), signal, options.onRetry).catch((error) => {
        waiting.length = 0;
        throw error;
      });
    }
  }
  report();
  const ends = await Promise.allSettled(Array.from({ length: options.concurrency }, work));
  for (const end of ends) {
    if (end.status === "rejected") throw end.reason;
  }
}

// src/client/upload.ts
var DEFAULT_CONCURRENCY = 4;
var COMPLETE_TRIES = 150;
async function upload(file, options) {
  const signals = [options.signal, options.pauseSignal];
  const stopping = new AbortController();
  return await new Promise((resolve, reject) => {
    const stop = () => {
      const reason = signals.find((signal) => signal?.aborted)?.reason;
      stopping.abort(reason);
      reject(reason);
    };
    for (const signal of signals) {
      signal?.addEventListener("abort", stop);
      if (signal?.aborted) stop();
    }
    run(file, { ...options, signal: stopping.signal }, options.signal).then(resolve, reject).finally(() => {
      for (const signal of signals) signal?.removeEventListener("abort", stop);
    });
  });
}
async function run(file, options, cancelSignal) {
  const { signal, onRetry } = options;
  signal.throwIfAborted();
  let id = options.uploadId;
  try {
    let reply = id === void 0 ? await create(file, options) : void 0;
    if (reply) {
      id = reply.file.id;
      cancelSignal?.throwIfAborted();
      options.onCreated?.(reply.file, reply.upload);
    }
    const path = `/uploads/${id}`;
    return await retry(async () => {
      signal.throwIfAborted();
      const { file: { sizeBytes }, upload: instructions } = reply ?? (await callService(options, "GET", path, { signal })).body;
      reply = void 0;
      if (instructions && (sizeBytes ?? file.size) !== file.size) throw new UploadError("OBJECT_MISMATCH", 0, "The upload was begun with a file of another size.");
      try {
        if (instructions) await send2(instructions, file, path, options);
        const uploaded = await complete(path, options);
        options.onProgress?.(file.size, file.size);
        return uploaded;
      } catch (error) {
        throw error instanceof UploadError && isOvertaken(error) ? new PassingFault(error) : error;
      }
    }, signal, onRetry);
  } catch (error) {
    if (id !== void 0) {
      if (cancelSignal?.aborted) await callService(options, "DELETE", `/uploads/${id}`).catch(() => {
      });
      if (error instanceof UploadError) error.uploadId = id;
    }
    throw error;
  }
}
function isOvertaken({ code, status }) {
  return code === "OBJECT_MISSING" || code === "UPLOAD_ALREADY_COMPLETED" || code === "STORAGE_ERROR" && status === 404;
}
async function create(file, options) {
  const { policy, metadata, replaces, method = "auto", checksum } = options;
  const { body } = await callService(options, "POST", "/uploads", {
    headers: { "idempotency-key": options.idempotencyKey ?? randomKey() },
    body: {
      policy,
      filename: nameOf(file, options),
      contentType: options.contentType ?? (file.type?.split(";")[0]?.trim().toLowerCase() || "application/octet-stream"),
      sizeBytes: file.size,
      metadata,
      replaces,
      method,
      ...checksum
    },
    // Its reply is waited for even so: it has the id that is needed to give the upload up.
    retrySignal: options.signal
  });
  return body;
}
async function send2(instructions, file, path, options) {
  const { signal, concurrency = DEFAULT_CONCURRENCY } = options;
  const onProgress = (bytes) => options.onProgress?.(Math.round(bytes), file.size);
  if (instructions.method === "multipart") {
    await sendParts(instructions, file, { ...options, path, concurrency, onProgress });
    return;
  }
  const { method, url } = instructions;
  const blob = await readSlice(file, 0, file.size);
  const content = method === "PUT" ? { headers: instructions.headers, body: blob } : { body: renderForm(instructions.fields, blob, nameOf(file, options)) };
  await sendBytes({ method, url, ...content, signal, onProgress: (fraction) => onProgress(fraction * file.size) });
}
function renderForm(fields, blob, filename) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", blob, filename);
  return form;
}
async function complete(path, options) {
  const { signal } = options;
  for (let tries = 1; ; tries += 1) {
    const { status, body, retryAfterSeconds } = await callService(options, "POST", `${path}/complete`, { body: {}, signal });
    if (status !== 202) return body.file;
    if (tries === COMPLETE_TRIES) throw new UploadError("UNEXPECTED_REPLY", status, "Checking the file takes longer than expected.");
    await wait(retryAfterSeconds * 1e3 || 1e3, signal);
  }
}
function nameOf(file, { filename }) {
  return filename ?? (file.name || "file");
}
function randomKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
export {
  UploadError,
  upload
};
