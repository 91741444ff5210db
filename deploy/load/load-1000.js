// A thousand people at once, after a ramp.
import { act, optionsFor, setup, share, handleSummary } from './people.js';

export const options = optionsFor([
  { duration: share(0.3, 120), target: 1000 }, { duration: share(0.7, 120), target: 1000 },
]);
export { setup, handleSummary };
export default act;
