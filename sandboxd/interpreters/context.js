// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs in a sandbox, in its own node: the protocol is that of context.py. Cells share one global scope; the value of
// the last expression is the result, a promise is waited for.
'use strict';
{
  const { Session } = require('inspector');
  const net = require('net');
  const util = require('util');
  const vm = require('vm');
  const { createRequire } = require('module');
  const { Readable } = require('stream');

  const LIMIT = 60000;
  const control = new net.Socket({ fd: 0, readable: true, writable: true });
  let interrupt = null;
  let waiting = Buffer.alloc(0);
  let busy = false;
  let count = 0;

  // Descriptor 0 is ours.
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true });
  globalThis.require = createRequire(process.cwd() + '/');

  const send = (kind, token, text = '') => {
    const data = Buffer.from(text, 'utf8').subarray(0, LIMIT);
    control.write(Buffer.concat([Buffer.from(`${kind} ${token} ${data.length}\n`), data]));
  };

  // The inspector evaluates as a console does: names may be declared again, await may stand anywhere. It speaks of
  // values by reference, and `hand` is the way back to the values.
  const ours = { hand: null, evaluate: null };
  const guarded = new vm.Script('__sandboxd.evaluate()');
  const session = new Session();
  Object.defineProperty(globalThis, '__sandboxd', { value: ours });
  session.connect();

  const dereference = ({ objectId, unserializableValue, value }) => {
    const reference = objectId ? { objectId } : unserializableValue ? { unserializableValue } : { value };
    let handed;
    ours.hand = (v) => { handed = v; };
    session.post('Runtime.callFunctionOn', {
      functionDeclaration: '(v) => __sandboxd.hand(v)', executionContextId: 1, arguments: [reference],
    });
    return handed;
  };

  // Without the frames that are ours.
  const explain = (error) => {
    const stack = util.types.isNativeError(error) && error.stack ? String(error.stack) : util.inspect(error);
    const end = stack.search(/\n +at (Session\.post|sigintHandlersWrap) /);
    return end < 0 ? stack : stack.slice(0, end);
  };

  // Text that cannot be compiled has no frame that says where.
  const locate = (text, name, { exception, lineNumber, columnNumber }) => {
    const unplaced = exception && exception.className === 'SyntaxError' && !text.includes(name);
    return unplaced ? `${name}:${lineNumber + 1}:${columnNumber + 1}\n${text}` : text;
  };

  const cell = (code, name, resolve, reject) => {
    const expression = `${code}\n//# sourceURL=${name}`;
    const options = { expression, replMode: true, awaitPromise: true, objectGroup: name };
    session.post('Runtime.evaluate', options, (failed, answer) => {
      if (failed) return reject(failed.message);
      const { result, exceptionDetails: thrown } = answer;
      const value = dereference(thrown && thrown.exception ? thrown.exception : result);
      session.post('Runtime.releaseObjectGroup', { objectGroup: name });
      if (!thrown) return resolve(value);
      return reject(locate(explain(value), name, thrown));
    });
  };

  const evaluate = (code) => new Promise((resolve, reject) => {
    const name = `<cell:${++count}>`;
    const fail = (error) => reject(explain(error));
    interrupt = () => reject('Error: Interrupted');
    ours.evaluate = () => cell(code, name, (value) => Promise.resolve(value).then(resolve, fail), reject);
    try {
      guarded.runInThisContext({ breakOnSigint: true });
    } catch (error) {
      fail(error);
    }
  });

  const run = async (token, code) => {
    try {
      send('begin', token);
      const value = await evaluate(code);
      if (value !== undefined) send('result', token, util.inspect(value));
    } catch (error) {
      send('error', token, String(error));
    }
    interrupt = null;
    send('done', token);
  };

  // One at a time, in the order in which they came.
  const next = async () => {
    while (!busy) {
      const end = waiting.indexOf(10);
      const [, token, length] = end < 0 ? [] : waiting.subarray(0, end).toString().split(' ');
      if (end < 0 || waiting.length < end + 1 + Number(length)) return;
      const code = waiting.subarray(end + 1, end + 1 + Number(length)).toString();
      waiting = waiting.subarray(end + 1 + Number(length));
      busy = true;
      await run(token, code);
      busy = false;
    }
  };

  process.on('SIGINT', () => interrupt && interrupt());
  process.on('uncaughtException', (error) => console.error(error));
  process.on('unhandledRejection', (error) => console.error(error));
  control.on('data', (data) => { waiting = Buffer.concat([waiting, data]); next(); });
  control.on('end', () => process.exit());
}
