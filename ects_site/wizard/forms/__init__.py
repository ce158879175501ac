"""The wizard's pages: each a form that keeps what was typed, and a live test of it."""

from ects_site.wizard.forms.address import AddressForm
from ects_site.wizard.forms.administrator import AdministratorForm
from ects_site.wizard.forms.base import StepForm
from ects_site.wizard.forms.database import DatabaseForm
from ects_site.wizard.forms.etcd import EtcdForm
from ects_site.wizard.forms.keys import KeysForm
from ects_site.wizard.forms.mail import MailForm

STEPS: dict[str, type[StepForm]] = {
    form.step: form for form in (EtcdForm, DatabaseForm, KeysForm, AdministratorForm, MailForm, AddressForm)
}
"""In their order, by name."""
