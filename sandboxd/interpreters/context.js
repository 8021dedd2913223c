// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs in a sandbox, in its own node: the protocol is that of context.py. Scripts share one global scope; the value of
// the last expression is the result, a promise is waited for.
'use strict';
{
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

  const compile = (code, filename) => {
    try {
      return new vm.Script(code, { filename });
    } catch (error) {
      if (!(error instanceof SyntaxError) || !/\bawait\b/.test(code)) throw error;
      return new vm.Script(`(async () => {${code}\n})()`, { filename });
    }
  };

  const evaluate = async (code) => {
    const value = compile(code, `<cell ${++count}>`).runInThisContext({ breakOnSigint: true });
    if (!value || typeof value.then !== 'function') return value;
    return Promise.race([value, new Promise((_, reject) => { interrupt = () => reject(new Error('Interrupted')); })]);
  };

  const run = async (token, code) => {
    try {
      send('begin', token);
      const value = await evaluate(code);
      if (value !== undefined) send('result', token, util.inspect(value));
    } catch (error) {
      send('error', token, String((error && error.stack) || error));
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
