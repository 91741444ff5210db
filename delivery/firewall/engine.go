// Package firewall judges requests by the OWASP Core Rule Set, as deploy/waf
// tunes it, in Coraza's engine. It only judges: cmd/waf answers, forwards and logs.
//
// A verdict holds rule numbers and nothing of the request.
package firewall

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/profile-api/profile-api/deploy/waf"
)

// ruleFiles are the request rules of the Core Rule Set, in their order. The
// response rules are left out: answers are not read.
var ruleFiles = []string{
	"901-INITIALIZATION", "905-COMMON-EXCEPTIONS", "911-METHOD-ENFORCEMENT", "913-SCANNER-DETECTION", "920-PROTOCOL-ENFORCEMENT",
	"921-PROTOCOL-ATTACK", "922-MULTIPART-ATTACK", "930-APPLICATION-ATTACK-LFI", "931-APPLICATION-ATTACK-RFI", "932-APPLICATION-ATTACK-RCE",
	"933-APPLICATION-ATTACK-PHP", "934-APPLICATION-ATTACK-GENERIC", "941-APPLICATION-ATTACK-XSS", "942-APPLICATION-ATTACK-SQLI",
	"943-APPLICATION-ATTACK-SESSION-FIXATION", "944-APPLICATION-ATTACK-JAVA", "949-BLOCKING-EVALUATION",
}

// Options is how strict an [Engine] is.
type Options struct {
	DetectOnly       bool  // judge, and stop nothing
	ParanoiaLevel    int   // 1 to 4; each adds rules that are more often wrong
	AnomalyThreshold int   // score from which a request is stopped; a critical rule counts 5
	MaxBodyBytes     int64 // largest body that is given to Inspect
	Overrides        fs.FS // files that take the place of those of deploy/waf; nil for none
}

// Engine judges requests. It is safe for use by many goroutines.
type Engine struct {
	waf coraza.WAF
	// levels holds the paranoia level of each rule of the Core Rule Set that was loaded.
	levels   map[int]int
	paranoia int
}

// New reads the rules. The error says which file, or which line of which file, is wrong.
func New(o Options) (*Engine, error) {
	e := &Engine{levels: map[int]int{}, paranoia: o.ParanoiaLevel}
	cfg := experimental.WAFConfigWithRuleObserver(
		coraza.NewWAFConfig().WithRootFS(coreruleset.FS).
			WithRequestBodyLimit(int(o.MaxBodyBytes)+1).WithRequestBodyInMemoryLimit(int(o.MaxBodyBytes)+1), e.observe)
	parts := []part{{name: waf.Engine}, {"settings", o.directives()}, {name: waf.Before}}
	for _, name := range ruleFiles {
		parts = append(parts, part{name, "Include @owasp_crs/REQUEST-" + name + ".conf"})
	}
	parts = append(parts, part{name: waf.After})
	if err := knownNames(o.Overrides); err != nil {
		return nil, err
	}
	for _, p := range parts {
		text, err := p.read(o.Overrides)
		if err != nil {
			return nil, err
		}
		cfg = cfg.WithDirectives(text)
	}
	built, err := coraza.NewWAF(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the firewall's rules: %w", err)
	}
	e.waf = built
	return e, nil
}

// part is one piece of the configuration: a file, or text when there is any.
type part struct{ name, text string }

func (p part) read(overrides fs.FS) (string, error) {
	if p.text != "" {
		return p.text, nil
	}
	if overrides != nil {
		own, err := fs.ReadFile(overrides, p.name)
		if err == nil {
			return string(own), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read the firewall's rules: %w", err)
		}
	}
	own, err := fs.ReadFile(waf.Files, p.name)
	if err != nil {
		return "", fmt.Errorf("read the firewall's built-in rules: %w", err)
	}
	return string(own), nil
}

// knownNames refuses a folder with a file that nothing would read, which is a
// misspelt name, and one that holds none at all, which is the wrong folder.
func knownNames(overrides fs.FS) error {
	if overrides == nil {
		return nil
	}
	entries, err := fs.ReadDir(overrides, ".")
	if err != nil {
		return fmt.Errorf("read the folder of the firewall's rules: %w", err)
	}
	known, found := []string{waf.Engine, waf.Before, waf.After}, 0
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case slices.Contains(known, name):
			found++
		case strings.HasSuffix(name, ".conf"):
			return fmt.Errorf("the folder of the firewall's rules holds %q; the files are %s", name, strings.Join(known, ", "))
		}
	}
	if found == 0 {
		return fmt.Errorf("the folder of the firewall's rules holds none of %s", strings.Join(known, ", "))
	}
	return nil
}

// directives are what the settings decide. Both levels are the same: a rule
// above the level would be paid for and not counted.
func (o Options) directives() string {
	mode := "On"
	if o.DetectOnly {
		mode = "DetectionOnly"
	}
	return fmt.Sprintf(`SecRuleEngine %s
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d,setvar:tx.detection_paranoia_level=%d"
SecAction "id:900110,phase:1,pass,t:none,nolog,setvar:tx.inbound_anomaly_score_threshold=%d"
SecAction "id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250"
`, mode, o.ParanoiaLevel, o.ParanoiaLevel, o.AnomalyThreshold)
}

func (e *Engine) observe(r types.RuleMetadata) {
	for _, tag := range r.Tags() {
		if level, ok := strings.CutPrefix(tag, "paranoia-level/"); ok && len(level) == 1 {
			e.levels[r.ID()] = int(level[0] - '0')
		}
	}
}
