// Serves aimock, another party's idea of OpenAI and of xAI's videos, until its input ends. Prints its address.
import { LLMock } from '@copilotkit/aimock';

const png = process.argv[2];
const usage = { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 };
const mock = new LLMock({ port: 0 });
mock.onMessage('tool please', { toolCalls: [{ name: 'weather', arguments: { place: 'harbour' } }], usage });
mock.onMessage('words please', { content: 'Regen über dem Hafen — 雨.', usage });
mock.onMessage('json please', { content: '{"mood":"calm"}', usage });
mock.onImage(/harbour/, { image: { b64Json: png } });
mock.onSpeech(/rains/, { audio: Buffer.from('ID3 a voice').toString('base64'), format: 'mp3' });
mock.onVideo(/Rain/, { video: { id: 'v1', status: 'completed', url: 'https://vidgen.x.ai/v1.mp4', duration: 6 } });
await mock.start();
console.log(mock.url);
process.stdin.on('end', () => process.exit(0)).resume();
