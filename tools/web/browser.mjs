// Web servers and headless Chromium, for the drivers of the pages.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/**
 * Serves a folder on a free port: `{ url, close }`. `intercept` gets the path of each request: the promise that it returns delays
 * the answer, and the status in it, if any, is the answer.
 */
export async function serve(folder, intercept = () => null) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
    const status = await intercept(path);
    if (status) {
      response.writeHead(status).end();
      return;
    }
    const file = join(folder, path.endsWith('/') ? `${path}index.html` : path);
    const found = statSync(file, { throwIfNoEntry: false });
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-length': found.size });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Serves a folder with `kiln web`, as a reader does: `{ url, close }`. `close` interrupts it and returns its exit code. */
export async function serveWithCommand(kiln, folder) {
  const server = spawn(kiln, ['web', folder, '--port', '0', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(server, 'exit').then(([code]) => code);
  process.on('exit', () => server.kill());
  const line = await Promise.race([once(server.stdout, 'data').then(([data]) => String(data)), ended]);
  if (typeof line !== 'string') throw new Error(`\`kiln web\` ended with code ${line}`);
  const close = () => {
    server.kill('SIGINT');
    return ended;
  };
  return { url: JSON.parse(line).url.replace(/\/$/, ''), close };
}

/** Debian's Chromium, or that of $CHROMIUM; with the device `webgpu`, in software. */
export function openBrowser(device = 'cpu') {
  const require = createRequire(join(process.env.KILN_NODE_MODULES ?? '.', 'package.json'));
  const { chromium } = require('playwright-core');
  const webgpu = [
    '--enable-unsafe-webgpu',
    '--use-webgpu-adapter=swiftshader',
    '--use-vulkan=swiftshader',
    '--use-angle=vulkan',
    '--enable-features=Vulkan,VulkanFromANGLE,DefaultANGLEVulkan',
  ];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--headless=new', '--no-sandbox', ...(device === 'webgpu' ? webgpu : [])],
  });
}
