// A hundred people, suddenly eight times as many, and back: does it recover?
import { act, optionsFor, setup, share, handleSummary } from './people.js';

export const options = optionsFor([
  { duration: share(0.1, 90), target: 100 }, { duration: share(0.2, 90), target: 100 }, { duration: share(0.05, 90), target: 800 },
  { duration: share(0.3, 90), target: 800 }, { duration: share(0.05, 90), target: 100 }, { duration: share(0.3, 90), target: 100 },
]);
export { setup, handleSummary };
export default act;
