// A thread beside one that loads code: when loading takes too long, it looks where the code is, says so and ends the process.
import { writeSync } from 'node:fs';
import { Session } from 'node:inspector';
import { relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { workerData } from 'node:worker_threads';

const PAUSE_MS = 2_000; // with the processor shared, the inspector takes over a second to list what is loaded
const { root, seconds, fd } = workerData;

function end(place) {
  const message = `The code did not finish loading within ${seconds} s: an endless loop, or a wait that never ends.`;
  const errors = [{ file: null, line: null, column: null, ...place, message }];
  try { writeSync(fd, `${JSON.stringify({ ok: false, errors })}\n`); }
  finally { process.kill(process.pid, 'SIGKILL'); }
}

setTimeout(() => {
  const inside = `${pathToFileURL(root).href}/src/`;
  const urls = new Map();
  const session = new Session();
  session.connectToMainThread();
  session.on('Debugger.scriptParsed', ({ params }) => urls.set(params.scriptId, params.url));
  session.on('Debugger.paused', ({ params }) => {
    const at = params.callFrames.map(frame => frame.location).find(one => urls.get(one.scriptId)?.startsWith(inside));
    const file = at && relative(root, fileURLToPath(urls.get(at.scriptId)));
    end(at && { file, line: at.lineNumber + 1, column: at.columnNumber + 1 });
  });
  session.post('Debugger.enable');
  session.post('Debugger.pause');
  setTimeout(end, PAUSE_MS); // it waits instead of running
}, seconds * 1000);
