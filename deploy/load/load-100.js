// A hundred people at once, after a ramp.
import { act, optionsFor, setup, share, handleSummary } from './people.js';

export const options = optionsFor([
  { duration: share(0.2, 90), target: 100 }, { duration: share(0.8, 90), target: 100 },
]);
export { setup, handleSummary };
export default act;
