{
  // `window.atelier.callTool`: the tools of the server that the app names, and no others.
  const names = Object.freeze([...(boot.tools?.names ?? [])]);
  const ASK = 'ask_ai';
  const failure = (code, message, hint, further) =>
    Object.assign(new Error(message), { name: 'AtelierError', code, hint }, further);
  const checked = (name, args) => {
    if (typeof name !== 'string') throw new TypeError('the name of a tool is a string');
    if (args === null || typeof args !== 'object' || Array.isArray(args)) {
      throw new TypeError('the arguments of a tool are an object');
    }
    if (!names.includes(name)) {
      throw failure('tool_not_allowed', `this page may not call ${name}`,
        'an app calls the tools that it was created or edited with');
    }
    if (!boot.root) {
      throw failure('offline', 'this page is not connected to a server', 'open it by its link');
    }
    if (!boot.tools.token) {
      throw failure('page_outdated', 'an earlier version of an app calls no tools',
        'open the newest version');
    }
    return JSON.stringify({ token: boot.tools.token, tool_name: name, arguments: args });
  };
  const call = async (name, args, signal) => {
    const body = checked(name, args);
    let response;
    try {
      response = await runtime.fetch(runtime.address('call'), {
        method: 'POST', body, signal, cache: 'no-store', credentials: 'omit',
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw failure('unreachable', 'the server does not answer', 'try again in a few seconds');
    }
    const answer = await response.json().catch((error) => {
      if (signal?.aborted) throw error;
      return null;
    });
    if (response.ok && answer) return answer.result;
    const wait = answer?.retry_after_s;
    throw failure(answer?.code ?? 'unreachable',
      answer?.error ?? `the server answered ${response.status}`,
      answer?.hint ?? 'try again in a few seconds',
      wait === undefined ? {} : { retryAfterSeconds: wait });
  };
  atelier.tools = names;
  atelier.callTool = (name, args = {}, { signal } = {}) => call(name, args, signal);
  atelier.askAi = async (prompt, schema, { signal } = {}) => {
    const args = schema === undefined || schema === null ? { prompt } : { prompt, json_schema: schema };
    return (await call(ASK, args, signal)).answer;
  };
}
