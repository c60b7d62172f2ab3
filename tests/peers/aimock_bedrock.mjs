// Serves aimock, another party's idea of Bedrock and of ElevenLabs, until its input ends. Prints its address.
import { LLMock } from '@copilotkit/aimock';

const mock = new LLMock({ port: 0 });
mock.onMessage('words please', { content: 'Regen über dem Hafen — 雨.' });
mock.onMessage('tool please', { toolCalls: [{ name: 'weather', arguments: { place: 'harbour', deep: { a: [1, null] } } }] });
mock.onMessage('json please', { content: '{"mood":"calm"}' });
mock.onElevenLabsTTS(/dark/, { audio: Buffer.from('ID3 a voice').toString('base64'), format: 'mp3' });
await mock.start();
console.log(mock.url);
process.stdin.on('end', () => process.exit(0)).resume();
