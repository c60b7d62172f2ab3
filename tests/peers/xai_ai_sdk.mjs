// Drives Vercel's AI SDK for xAI: `node xai_ai_sdk.mjs <base url> <key> <picture> <picture> <clip>`. Prints what it made of
// the answers. It speaks xAI's REST interface, which xAI's own SDK (gRPC) does not.
import { readFileSync } from 'node:fs';
import { createXai } from '@ai-sdk/xai';

const [baseURL, apiKey, ...paths] = process.argv.slice(2);
const clip = paths.pop();
const uri = (path, type) => `data:${type};base64,${readFileSync(path).toString('base64')}`;
const xai = createXai({ baseURL, apiKey });
const file = (path) => ({ type: 'file', mediaType: 'image/png', data: readFileSync(path).toString('base64') });
const common = { n: 1, aspectRatio: '16:9', size: undefined, seed: undefined, providerOptions: {} };
const told = {};

const image = xai.image('grok-imagine-image');
const drawn = await image.doGenerate({ ...common, prompt: 'A harbour' });
told.image = [drawn.images[0], drawn.providerMetadata.xai.costInUsdTicks];
await image.doGenerate({ ...common, prompt: 'A boat', files: [file(paths[0])] });
await image.doGenerate({ ...common, prompt: 'A boat', files: paths.map(file) });

const video = xai.video('grok-imagine-video');
const options = { xai: { pollIntervalMs: 5, pollTimeoutMs: 5000 } };
const still = { ...common, image: file(paths[0]), duration: 6, resolution: '1280x720', providerOptions: options };
const film = await video.doGenerate({ ...still, prompt: 'Rain. The camera slowly pushes in.' });
told.video = [film.videos[0].url, film.providerMetadata.xai.duration, film.providerMetadata.xai.costInUsdTicks];

const polling = options.xai;
const references = { ...polling, mode: 'reference-to-video', referenceImageUrls: paths.map((path) => uri(path, 'image/png')) };
const shown = { ...common, duration: 6, resolution: '1280x720', providerOptions: { xai: references } };
await video.doGenerate({ ...shown, prompt: 'They meet. The camera slowly pushes in.' });
const more = { ...polling, mode: 'extend-video', videoUrl: uri(clip, 'video/mp4') };
const longer = { ...common, aspectRatio: undefined, duration: 4, resolution: undefined, providerOptions: { xai: more } };
const extended = await video.doGenerate({ ...longer, prompt: 'She leaves. The camera slowly pushes in.' });
told.extended = extended.videos[0].url;

try {
  const wrong = createXai({ baseURL, apiKey: 'xai-wrong' }).image('grok-imagine-image');
  await wrong.doGenerate({ ...common, prompt: 'x' });
} catch (error) {
  told.refused = [error.statusCode, error.message];
}
console.log(JSON.stringify(told));
