package dnsflip

import (
	"fmt"
	"strings"
)

// mailbox turns a mail address into the form of an SOA's RNAME: the local
// part is one label, with its dots escaped, RFC 1035 section 8.
func mailbox(mail string) (string, error) {
	at := strings.LastIndexByte(mail, '@')
	local, domain := mail[:max(at, 0)], mail[at+1:]
	if local == "" || len(local) > maxLabel || !validHost(plain(domain)) || len(local)+1+len(domain) > maxName {
		return "", fmt.Errorf("admin %q is not a mail address, such as hostmaster@example.net", mail)
	}
	var label strings.Builder
	for _, c := range []byte(local) {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("admin %q has a character that mail addresses do not have", mail)
		}
		if strings.IndexByte(`.\"();@$`, c) >= 0 {
			label.WriteByte('\\')
		}
		label.WriteByte(c)
	}
	return label.String() + "." + plain(domain) + ".", nil
}
