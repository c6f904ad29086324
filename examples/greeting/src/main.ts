import express, { type Request, type Response } from 'express';
import { capitalize } from 'lodash-es';

export function greeting(name: string): string {
  return `Hello, ${capitalize(name)}!`;
}

/** Answers one request of its own and stops, so that the example ends by itself. */
async function main(): Promise<void> {
  const app = express();
  app.get('/:name', (request: Request<{ name: string }>, response: Response) => {
    response.send(greeting(request.params.name));
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new Error('no port');
  }
  const answer = await fetch(`http://127.0.0.1:${address.port}/world`);
  console.log(await answer.text());
  server.close();
}

await main();
