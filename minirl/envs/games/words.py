"""Common English words of three, four and five letters: the secrets of the word games."""

from __future__ import annotations

_WORDS = """
act add age air ant arm art ask axe bag bar bat bay bed bee bet big bit bow box boy bud bug bus but
buy cab can cap car cat cow cry cub cup cut day den dew dig dog dot dry due ear eat egg elf end eye
fan far fat few fig fin fit fix fly fog fox fun fur gap gas gem get goat got gum gun guy gym ham hat
hay hen her hid hip hit hot how hug hut ice ink jam jar jaw jet job jog joy key kid kit lab lap law
leg let lid lie lip log lot low mad man map mat mix mop mud mug nap net new nod now nut oak oar odd
off oil old one our out owl own pan paw pay pea pen pet pie pig pin pit pot put rag ram ran rat raw
red rib rid rim rip rob rod row rub rug run sad saw say sea see set she shy sip sit six sky son spy
sum sun tag tap tax tea ten tie tin tip toe ton top toy try tub two use van vet wag war wax way web
wet who why wig win yes yet you zip zoo
able acid aged also area army away baby back ball band bank bark barn base bath bean bear beat bell
belt bend best bike bird blow blue boat body bold bone book boot born boss both bowl bulb burn bush
busy cake call calm camp card care cart case cave chin city clay clip club coal coat code coin cold
comb cook cool copy corn cost crab crew crop crow cube cure dark dawn deaf deal dear deep deer desk
dirt dish dive door down draw drop drum duck dull dust duty each east easy edge exam face fact fair
fall farm fast fear feed feel fern film find fine fire fish five flag flat flow foam fold folk food
foot fork form four free frog fuel full gate gift girl give glad goal goat gold golf good gray grew
grid grow hair half hall hand hard harm hawk head heat help herb hero hide high hill hold hole holy
home hook hope horn host hour huge hunt hurt idea inch iron item jail join joke jump jury keep kind
king kite knee knot lady lake lamb lamp land lane last lawn lazy leaf left lift like lime line lion
list loaf lock long loud love luck lung mail main mark mask meal meat menu mild milk mine mint moon
moss moth move myth nail name navy near neat neck nest news nice nine nose note oven pack page pain
pair palm park past path peak pear pine pink pipe plan play plum poem pond pool poor port post pull
pump pure push race rain read rest rice rich ride ring road rock role roof room root rope rose ruby
safe sail salt sand save seat seed ship shoe shop sign silk sing skin slow snow soap sock soft soil
song soup star stem step stew swan swim tail tale talk tall tape task team tent test tide tile time
tiny tool town tree trip tube tuna turn twin vase vine voice walk wall warm wash wave weak west whip
wide wife wild wind wine wing wise wolf wood wool word work worm yard year zero
above actor adult after agent alarm album angel angle ankle apple arena armor arrow aside attic
award bacon badge baker basic basin beach beard beast bench berry birth black blade blank blaze
block blood board boost brain brand brave bread brick bride brief bring broom brown brush build
bunch cabin cable camel candy canoe cargo carry catch cause chain chair chalk charm chart chase
cheap check cheek chess chest chief child china chord civil clean clear clerk click cliff climb
clock cloth cloud clown coach coast coral couch count court cover crane crash crawl cream creek
crime crown crust curve cycle daily dairy dance depth diary diver dozen draft dream dress drift
drink drive eagle early earth elbow empty enemy enjoy entry equal event extra faith false fancy
favor fence ferry fever field fifth fight final flame flesh float flock flood floor flour fluid
flute focus force forty frame fresh front frost fruit giant glass globe glory glove grace grade
grain grand grape graph grass great green group guard guess guest guide happy heart heavy hello
hobby honey horse hotel house human humor ideal image index ivory jelly jewel judge juice knife
knock large laser later laugh layer learn lemon level light limit linen lobby local loose lucky
lunch magic major maple march match mayor medal melon mercy metal meter midst money month moral
motor mount mouse mouth movie music nerve never night noise north novel nurse ocean offer olive
onion opera orbit order organ other paint panel paper party pasta peace peach pearl penny phone
photo piano piece pilot pizza place plain plane plant plate point pouch pound power press price
pride prize proof proud pupil queen quick quiet radar radio ranch range rapid razor ready reply
river robin robot rough round route royal ruler rural salad sauce scale scarf scene scent scout
seven shade shake shape share shark sharp sheep sheet shelf shell shift shine shirt shock shore
short shout sight silly skill skirt sleep slice slide smart smell smile smoke snack snake solid
sound south space spark speed spice spoon sport staff stage stair stamp stand start state steam
steel stick stone stool store storm story stove straw sugar suite sunny swamp sweet swing sword
table taste teach thank thick thief think third thumb tiger tight title toast today tooth topic
total touch towel tower trace track trade trail train treat trial tribe trick truck trunk trust
truth tulip uncle under union upper urban usual value video visit vital voice wagon waist watch
water whale wheat wheel white whole woman world worry wound wrist write young youth zebra
"""

LENGTHS = (3, 4, 5)
WORDS_OF = {
    length: tuple(sorted({word for word in _WORDS.split() if len(word) == length}))
    for length in LENGTHS
}
