// A hundred people, suddenly eight times as many, and back: does it recover?
import exec from 'k6/execution';
import { act, optionsFor, setup, share, handleSummary } from './people.js';

const stages = [
  { part: 0.1, target: 100 }, { part: 0.2, target: 100 }, { part: 0.05, target: 800 },
  { part: 0.3, target: 800 }, { part: 0.05, target: 100 }, { part: 0.3, target: 100 },
];
export const options = optionsFor(stages.map(({ part, target }) => ({ duration: share(part, 90), target })), true);
export { setup, handleSummary };

// recovered is the part of the run after which the spike must no longer be felt: the last stage but for its first tenth.
const recovered = 1 - 0.9 * stages[stages.length - 1].part;

export default function (data) {
  if (exec.scenario.progress >= recovered) exec.vu.metrics.tags.phase = 'recovered';
  act(data);
}
