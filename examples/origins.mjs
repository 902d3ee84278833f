// Two small versions of an API, for the examples: each says its name, and what it was told.
//   node examples/origins.mjs

import { createServer } from 'node:http';

for (const [version, port] of [['v1', 8081], ['v2', 8082]]) {
  createServer((request, response) => {
    response.end(`${version}, told ${request.headers['x-api-version']}\n`);
  }).listen(port, '127.0.0.1');
}
