package spec

import "strings"

// mailbox is a mail address as an SOA's RNAME: the local part is one label,
// with its dots escaped, RFC 1035 section 8.
func mailbox(mail string) string {
	at := strings.LastIndexByte(mail, '@')
	var name strings.Builder
	for _, c := range []byte(mail[:max(at, 0)]) {
		if strings.IndexByte(`.\"();@$`, c) >= 0 {
			name.WriteByte('\\')
		}
		name.WriteByte(c)
	}
	return name.String() + "." + mail[at+1:] + "."
}

// address is the mail address that an RNAME stands for, if it is one.
func address(rname string) (string, bool) {
	rname = plain(rname)
	var local strings.Builder
	for i := 0; i < len(rname); i++ {
		switch rname[i] {
		case '\\':
			if i++; i == len(rname) {
				return "", false
			}
		case '.':
			mail := local.String() + "@" + rname[i+1:]
			return mail, mailRule().ok(mail)
		}
		local.WriteByte(rname[i])
	}
	return "", false
}

// plain writes a host name in lower case and without the final dot.
func plain(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
