// A hundred people, suddenly eight times as many, and back: does it recover?
import exec from 'k6/execution';
import { act, optionsFor, setup, share, handleSummary } from './people.js';

const stages = [
  { duration: share(0.1, 90), target: 100 }, { duration: share(0.2, 90), target: 100 }, { duration: share(0.05, 90), target: 800 },
  { duration: share(0.3, 90), target: 800 }, { duration: share(0.05, 90), target: 100 }, { duration: share(0.3, 90), target: 100 },
];
export const options = optionsFor(stages, true);
export { setup, handleSummary };

// recovered is the part of the run after which the spike must no longer be felt: the last stage but for its first tenth.
const seconds = stages.map(({ duration }) => parseInt(duration, 10));
const recovered = 1 - 0.9 * seconds[seconds.length - 1] / seconds.reduce((sum, s) => sum + s);

export default function (data) {
  if (exec.scenario.progress >= recovered) exec.vu.metrics.tags.phase = 'recovered';
  act(data);
}
