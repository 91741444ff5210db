package config

import (
	"os"
	"strings"
)

// Options says where [Load] looks. The zero value is the process itself.
type Options struct {
	// Environ is the environment as KEY=value pairs, the last of a name
	// counting; nil means os.Environ(). CONFIG_FILE and the _FILE variables in
	// it are opened on the real file system.
	Environ []string
}

// Load reads the settings, fills in what follows from others and checks every
// rule. The error, when there is one, is a [Faults] with everything that is
// wrong, safe to print; there are no settings then.
func Load(opts Options) (*Settings, error) {
	s, faults := load(opts)
	if len(faults) > 0 {
		return nil, faults
	}
	return s, nil
}

// Inspect is [Load] for `profile-api config`: it describes the settings even
// when they have faults, in place of the value of each variable at fault saying so.
func Inspect(opts Options) ([]Line, error) {
	s, faults := load(opts)
	lines := s.Describe()
	if len(faults) == 0 {
		return lines, nil
	}
	for i := range lines {
		if faults.Has(lines[i].Variable) {
			lines[i].Value = "[at fault]"
		}
	}
	return lines, faults
}

func load(opts Options) (*Settings, Faults) {
	var faults Faults
	env := environ(opts.Environ)
	checkTypos(env, &faults)
	fromFile := resolve(readConfigFile(strings.TrimSpace(env[configFile]), &faults), SourceFile, &faults)
	fromEnv := resolve(asValues(env), SourceEnvironment, &faults)

	s := &Settings{origins: origins(fromFile, fromEnv)}
	decode(layered(fromFile, fromEnv), s, &faults)
	if faults.Has("ENVIRONMENT") {
		s.Environment = Production // judged by the strictest rules when it cannot be known
	}
	derive(s)
	faults = append(faults, check(s, faults)...)
	return s, faults.sorted()
}

func environ(pairs []string) map[string]string {
	if pairs == nil {
		pairs = os.Environ()
	}
	env := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}

func asValues(env map[string]string) map[string]any {
	values := make(map[string]any, len(env))
	for name, value := range env {
		values[name] = value
	}
	return values
}

// origins says of each variable which source won.
func origins(file, env layer) map[string]Origin {
	out := make(map[string]Origin)
	for _, f := range fields() {
		switch {
		case env[f.name].value != nil:
			out[f.name] = env[f.name].origin
		case file[f.name].value != nil:
			out[f.name] = file[f.name].origin
		case f.def != "":
			out[f.name] = Origin{Source: SourceDefault}
		default:
			out[f.name] = Origin{Source: SourceUnset}
		}
	}
	return out
}
