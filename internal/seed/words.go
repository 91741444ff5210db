package seed

// name is a part of a person's name as they write it, and in the letters that a
// handle and an e-mail address can have.
type name struct{ written, ascii string }

// Given names, the most common first: [generator.pick] takes early ones far more
// often than late ones, as life does.
var givenNames = []name{
	{"Maria", "maria"}, {"Mohammed", "mohammed"}, {"Anna", "anna"}, {"José", "jose"}, {"Wei", "wei"}, {"Elena", "elena"},
	{"David", "david"}, {"Fatima", "fatima"}, {"Łukasz", "lukasz"}, {"Sofía", "sofia"}, {"Jürgen", "juergen"}, {"Priya", "priya"},
	{"Ольга", "olga"}, {"Åsa", "asa"}, {"Hiroshi", "hiroshi"}, {"Chloë", "chloe"}, {"Nguyễn", "nguyen"}, {"Amélie", "amelie"},
	{"محمد", "muhammad"}, {"Ingrid", "ingrid"}, {"Σωκράτης", "sokratis"}, {"Björn", "bjoern"}, {"美咲", "misaki"}, {"Siobhán", "siobhan"},
	{"Дмитрий", "dmitri"}, {"Zoë", "zoe"}, {"Oluwaseun", "oluwaseun"}, {"İbrahim", "ibrahim"}, {"Čeněk", "cenek"}, {"Þóra", "thora"},
	{"אברהם", "avraham"}, {"민준", "minjun"}, {"Xanthippe", "xanthippe"},
}

var familyNames = []name{
	{"García", "garcia"}, {"Wang", "wang"}, {"Smith", "smith"}, {"Müller", "mueller"}, {"Kowalska", "kowalska"}, {"Rossi", "rossi"},
	{"Иванова", "ivanova"}, {"O'Brien", "obrien"}, {"Nakamura", "nakamura"}, {"Haddad", "haddad"}, {"Lindström", "lindstroem"},
	{"Okafor", "okafor"}, {"Papadopoulos", "papadopoulos"}, {"Dvořák", "dvorak"}, {"Ørsted", "oersted"}, {"Patel", "patel"},
	{"van den Berg", "vandenberg"}, {"Yılmaz", "yilmaz"}, {"佐藤", "sato"}, {"Gonçalves", "goncalves"}, {"Székely", "szekely"},
	{"Jäätteenmäki", "jaatteenmaki"},
}

// place is where somebody lives, and what follows from it.
type place struct{ location, locale, timeZone string }

var places = []place{
	{"Madrid", "es-ES", "Europe/Madrid"}, {"New York", "en-US", "America/New_York"}, {"São Paulo", "pt-BR", "America/Sao_Paulo"},
	{"Warszawa", "pl", "Europe/Warsaw"}, {"東京", "ja-JP", "Asia/Tokyo"}, {"Lagos", "en-NG", "Africa/Lagos"}, {"Berlin", "de-DE", "Europe/Berlin"},
	{"القاهرة", "ar-EG", "Africa/Cairo"}, {"Kyiv", "uk-UA", "Europe/Kiev"}, {"Mumbai", "hi-IN", "Asia/Kolkata"}, {"Sydney", "en-AU", "Australia/Sydney"},
	{"İstanbul", "tr-TR", "Europe/Istanbul"}, {"臺北", "zh-Hant-TW", "Asia/Taipei"},
}

// Domains that RFC 2606 keeps free: nothing sent there reaches anybody.
var mailDomains = []string{"example.com", "example.org", "example.net", "mail.example", "post.example"}

var bios = []string{
	"Builds things that last.", "Reads more than she writes.", "Runs in the rain.", "Bakes bread, badly.", "Läuft gern bergauf.",
	"Aime les trains de nuit.", "旅と写真が好きです。", "Maps, mountains and music.", "Was here before the last redesign.",
}

var linkLabels = []string{"Website", "Blog", "Portfolio", "Código", "Photos"}

var themeColors = []string{"#1e90ff", "#FF6347", "#2e8b57", "#663399", "#708090"}

// The text of metadata as a front end may keep it.
var metadata = []string{
	`{"onboarded":true}`, `{"onboarded":true,"tour":{"step":4}}`, `{"pins":["a1","b2"],"layout":"grid"}`, `{"favourites":[],"beta":false}`,
}

var appMetadata = []string{`{"plan":"pro"}`, `{"plan":"team","seats":5}`, `{"flags":["early-access"]}`}

var suspensionReasons = []string{"Spam in links", "Reported by many", "Pretends to be somebody else"}

// What one change of a profile touched.
var changes = [][]string{{"display_name"}, {"bio", "location"}, {"links"}, {"theme_color"}, {"handle"}, {"metadata"}}
